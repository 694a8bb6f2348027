"""Lines of a benchmark become tables and a chart of the documentation."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

specification = spec_from_file_location("measured", ROOT / "scripts" / "measured.py")
assert specification is not None
assert specification.loader is not None
measured = module_from_spec(specification)
specification.loader.exec_module(measured)


def line(name, variant, value, *, spread=None, baseline=None, ratio=None):
    return {
        "name": name, "variant": variant, "value": value, "unit": "", "baseline": baseline, "ratio": ratio, "n": 1,
        "spread": spread or [value, value],
    }  # fmt: skip


def latencies(way, rtt, ttfb):
    for name, value in (("syn_to_synack", 5.0), ("send_unlock", 0.25), ("ttfb", ttfb), ("fct", 2 * ttfb)):
        unit = "us" if name == "syn_to_synack" else "ms"
        for share, factor in (("p01", 0.5), ("p50", 1), ("p99", 2)):
            yield line(f"{name}_{share}_{unit}", f"{way}/{rtt}", factor * value)
    yield line("connections_completed", f"{way}/{rtt}", 250, baseline=250, ratio=1.0)


RUN = [
    *latencies("kernel", "20ms", 40.5),
    *latencies("bpf/stamp", "20ms", 20.5),
    line("rtts_saved", "bpf/stamp/20ms", 0.985, spread=[0.98, 0.99]),
    line("upload_vs_kernel", "kernel", 20.0),
    line("upload_vs_kernel", "bpf/stamp", 19.5, baseline=20.0, ratio=0.97),
    {"name": "absent", "variant": "haproxy", "value": None, "why": "haproxy is not installed"},
]
CONTROLS = [
    line("download_by_control", "kernel/bbr/20ms", 1.2),
    line("download_by_control", "bpf/stamp/bbr/20ms", 0.03, spread=[0.02, 0.04], baseline=1.2, ratio=0.03),
    line("bbr_download_before_10_s", "bpf/stamp/20ms", 0.03),
    line("bbr_download_after_10_s", "bpf/stamp/20ms", 1.1),
]


def test_each_way_has_a_row_and_what_was_not_measured_says_why():
    told = measured.tables(RUN)["datapath"].splitlines()
    ours = "5.00 / 10.0 | 0.250 / 0.500 | 20.5 / 41.0 | 0.985 (0.980 .. 0.990) | 41.0 / 82.0 | 250 of 250"
    assert f"| bpf, stamp | {ours} |" in told
    assert any(row.startswith("| plain TCP, kernel forwarding | 5.00 / 10.0 |") and "| – |" in row for row in told)
    assert "| bpf, stamp | 19.5 (0.97) | – | – | – | – | – | – |" in told
    assert told[-1] == "- not measured: haproxy at ClientNIC: haproxy is not installed"


def test_congestion_control_has_a_column_for_each_way():
    told = measured.tables(CONTROLS)
    assert list(told) == ["congestion"]
    ours = "0.030 (0.020 .. 0.040), 0.03 of plain"
    assert f"| 20 ms, download, bbr | 1.20 (1.20 .. 1.20) | {ours} |" in told["congestion"]
    assert "| 20 ms, download, after 10 s | – | 1.10 (1.10 .. 1.10) |" in told["congestion"]


def test_the_chart_has_every_way_at_the_shortest_round_trip():
    told = measured.chart([*RUN, *latencies("kernel", "100ms", 200.5)])
    assert all(word in told for word in ("plain TCP, kernel forwarding", "bpf, stamp", "20.500", "round trip 20 ms"))
    assert "200.5" not in told
    assert measured.chart(CONTROLS) == ""


def test_a_region_is_replaced_and_nothing_else():
    page = "a\n<!-- one: from here -->\nold\n<!-- one: to here -->\nb\n"
    assert measured.filled(page, "one", "new") == "a\n<!-- one: from here -->\nnew\n<!-- one: to here -->\nb\n"
    with pytest.raises(ValueError, match="no region two"):
        measured.filled(page, "two", "new")


def test_the_page_has_the_regions():
    page = measured.PAGE.read_text()
    for name in ("datapath", "congestion"):
        assert measured.filled(page, name, "new") != page
