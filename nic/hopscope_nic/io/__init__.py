"""Datapaths and what they need of the kernel: sockets, netlink, nft. Nothing in here decides about a segment."""
