from __future__ import annotations

import io
import json

from hopscope_nic.io.events import Events


def test_one_object_per_line():
    stream = io.StringIO()
    events = Events(stream)
    events.emit("ready", role="clientnic")
    events.counters({"flows": 1})
    events.counters({"flows": 1})
    events.counters({"flows": 1}, always=True)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["ready", "counters", "counters"]
    assert lines[1]["time_ns"] > 10**18


def test_errors_are_told_but_do_not_flood():
    stream = io.StringIO()
    events = Events(stream)
    for _ in range(100):
        events.error("receive", "boom")
    assert stream.getvalue().count("boom") == 20


def test_nobody_listens():
    stream = io.StringIO()
    stream.close()
    Events(stream).emit("ready")
