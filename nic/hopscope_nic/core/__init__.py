"""The rewriters without I/O: segments in, actions out. No socket, no clock, no file.

Two rules keep it so. A machine (`HoldClientNic`, `StampClientNic`, `ServerNic`) never reads a clock: `now` (seconds,
monotonic) comes with every call. And it never sends: it returns actions, which the datapath carries out in order.
"""
