"""The process that holds the TUN device: gone, stopped, or stuck in the kernel."""

from __future__ import annotations

from hopscope.lastmile.finding import Finding
from hopscope.lastmile.view import Loss, View

CAUSES = ("daemon-dead", "daemon-stopped", "daemon-stuck")


def find(view: View, loss: Loss) -> Finding | None:
    for side in view.ground.sides:
        holders = [each for each in view.after(side.host, "holders", []) if each["device"] == side.device]
        link = view.link(side.host, side.device)
        if not holders:
            how = "does not exist" if link is None else "exists, and its flags are " + ",".join(link.get("flags", ()))
            return Finding(
                "daemon-dead", side.host, "captures", f"no process holds {side.device}: the daemon has ended",
                (f"{side.device} {how}", f"no descriptor of /dev/net/tun is open on {side.device}"),
                remedy="start the daemon; nothing that the network can be told will help",
            )  # fmt: skip
        before = {each["pid"]: each for each in view.before(side.host, "holders", [])}
        states = {each["state"] for each in holders}
        told = (f"process {holders[0]['pid']} ({holders[0]['command'][:80]}) is in state {'/'.join(sorted(states))}",)
        if states <= {"T", "t"}:
            return Finding(
                "daemon-stopped", side.host, "captures", "the daemon is stopped (SIGSTOP or a debugger)", told,
                remedy=f"kill -CONT {holders[0]['pid']}",
            )  # fmt: skip
        if states <= {"D", "Z"} and all(before.get(each["pid"], each)["state"] in "DZ" for each in holders):
            return Finding(
                "daemon-stuck", side.host, "captures", "the daemon is stuck in the kernel or a zombie", told,
                remedy="look at what it waits for (wchan) and restart it",
            )  # fmt: skip
    return None
