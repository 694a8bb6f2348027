"""One look at all hosts at once: snapshot, probes with everything listening, snapshot."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

from hopscope.errors import EnvironmentFault, HopscopeError
from hopscope.hosts.executor import Executor
from hopscope.hosts.process import Process
from hopscope.hosts.ready import LogLine
from hopscope.hosts.wait import wait_until
from hopscope.lastmile.ground import PROBE_PORT, Ground
from hopscope.lastmile.onhost import btf
from hopscope.lastmile.view import View

WAIT_S = 0.3
ANSWER_S = 8.0
STEPS = {"probed": "every probe has had its time", "report": "hosts are as they are now, and what was heard is here"}
_ONHOST = Path(__file__).with_name("onhost")


def look(
    hosts: Mapping[str, Executor],
    ground: Ground,
    *,
    wait_s: float = WAIT_S,
    trace: bool = True,
    drops: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> View:
    """``trace`` lets nft trace probe packets, ``drops`` the kernel say why it drops them.

    Hosts that cannot be looked at are told in the view and left out. ``say`` hears of each step that is done.

    Raises EnvironmentFault where an end of the tunnel cannot be looked at.
    """
    began = time.monotonic()
    here = {name: hosts[name] for name in ground.hosts if name in hosts}
    blind = {name: "it is not among the hosts" for name in ground.hosts if name not in hosts}
    with ThreadPoolExecutor(len(here)) as pool, ExitStack() as stack:
        mtus = list(pool.map(lambda side: _mtu(hosts[side.host], side.device), ground.sides))
        probes = ground.probes(max((each for each in mtus if each), default=1500), 256 + secrets.randbelow(2**16 - 512))
        wait = wait_s + ground.rtt_s

        def start(name: str) -> Process | HopscopeError:
            spec = {
                "probes": [each.document() for each in probes if each.source == name],
                "lookups": ground.lookups(name), "probe_port": PROBE_PORT, "port": ground.port, "wait_s": wait,
                "trace": trace, "drops": drops, "kernel": _kernel() if drops and here[name].here else None,
                "life_s": ANSWER_S + 2 * wait, **_devices(ground, name),
            }  # fmt: skip
            try:
                return _spawn(here[name], spec)
            except HopscopeError as fault:
                return fault

        agents: dict[str, Process] = {}
        for name, started in zip(here, pool.map(start, here), strict=True):
            if isinstance(started, HopscopeError):
                blind[name] = started.message
            else:
                agents[name] = started
                stack.callback(started.stop, 1.0)
        for side in ground.sides:
            if side.host in blind:
                raise EnvironmentFault(
                    f"this end of the tunnel cannot be looked at: {blind[side.host]}", host=side.host
                )
        say(f"everything listens on {', '.join(agents)} ({time.monotonic() - began:.2f} s)")
        for sig, word in ((signal.SIGUSR1, "probed"), (signal.SIGUSR2, "report")):
            for agent in agents.values():
                agent.signal(sig)
            for name, agent in agents.items():
                done = partial(_done, agent, word)
                wait_until(done, timeout=ANSWER_S, interval=0.005, what=f"the agent on {name} to have {word}")
            say(f"{STEPS[word]} ({time.monotonic() - began:.2f} s)")
        reports = {}
        for name, agent in agents.items():
            report = _said(agent, "report")
            if report is None:
                raise EnvironmentFault("the agent ended without a report", host=name, evidence=_tail(agent))
            reports[name] = report
    return View(ground, tuple(probes), reports, blind, time.monotonic() - began)


def _mtu(host: Executor, device: str) -> int | None:
    result = host.run(["ip", "-j", "link", "show", "dev", device], check=False)
    try:
        return int(json.loads(result.stdout)[0]["mtu"])
    except (ValueError, LookupError):
        return None


@cache
def _kernel() -> dict[str, Any] | None:
    """What agents on this machine would each have to find out about its kernel."""
    try:
        return btf.of_kfree_skb()
    except (OSError, LookupError, ValueError):
        return None


def _devices(ground: Ground, name: str) -> dict[str, Any]:
    side = ground.side(name)
    devices = [point.device for point in ground.between if point.host == name]
    if side is not None:
        devices += [side.device, *([side.lan.facing] if side.lan else [])]
    devices += [each.lan.device for each in ground.sides if each.lan and each.lan.host == name]
    return {"devices": list(dict.fromkeys(devices)), "tunnel": side.device if side else None}


def _spawn(host: Executor, spec: dict[str, Any]) -> Process:
    """The agent, from where it lies if the host shares our file system, else copied."""
    folder = _ONHOST
    if not host.here:
        folder = host.directory / "lastmile"
        for file in _ONHOST.glob("*.py"):
            host.put(file, f"lastmile/{file.name}")
    argv = [host.python, "-I", "-S", str(folder / "agent.py"), json.dumps(spec)]
    return host.spawn(argv, name="lastmile-agent", ready=LogLine('"ready"', "stdout"), ready_timeout=ANSWER_S)


def _done(agent: Process, word: str) -> bool:
    return _said(agent, word) is not None or agent.poll() is not None


def _said(agent: Process, word: str) -> Any:
    for line in agent.lines():
        if line.startswith(f'{{"{word}"') and line.endswith("}"):
            try:
                return json.loads(line)[word]
            except ValueError:
                return None
    return None


def _tail(agent: Process) -> str:
    return agent.stderr.read_text(errors="replace")[-2000:]
