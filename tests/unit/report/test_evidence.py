"""What of a test's folder goes into a report: by how it ended, bounded, without secrets."""

from __future__ import annotations

import json
import shutil
import struct
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from hopscope.checks.verdict import Evidence as Evidenced
from hopscope.checks.verdict import failed
from hopscope.report import attachment, evidence, plots
from hopscope.report.attachment import bounded, redacted
from hopscope.report.evidence import Case, Evidence, Limits, failed_ports, shown_flow
from hopscope.report.flows import flow_filter
from hopscope.wire import pcap
from hopscope.wire.trace import Trace
from support import golden, golden_tunnel, runs
from support.golden_folders import SMALL

TAPS = ["client-eth0", "clientnic-eth0", "clientnic-eth1", "server-eth0", "servernic-eth0", "servernic-eth1"]


@pytest.fixture
def work(tmp_path):
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture(autouse=True)
def _decodes_quickly(monkeypatch):
    """tshark itself is for the integration tests."""
    monkeypatch.setattr(evidence.decoded, "_tshark", lambda *args: "1\t0.0\tclient-eth0\tSYN")


def content(one) -> bytes:
    return one.body if isinstance(one.body, bytes) else one.body.read_bytes()


def everything(groups):
    return {one.name: one for group in groups for one in group.attachments}


def test_a_test_that_passed_leaves_verdicts_a_ladder_and_one_flow(tmp_path, work):
    found = {one.name: one for one in Evidence(runs.case(tmp_path), work).passed()}
    assert list(found) == ["Verdicts", "Ladder of one flow", "one-flow.pcapng"]
    assert sum(one.size for one in found.values()) <= 100_000
    packets = pcap.read(found["one-flow.pcapng"].body)
    ports = {*packets.sport[packets.is_tcp].tolist(), *packets.dport[packets.is_tcp].tolist()}
    assert ports == {40000, 8080}
    assert len(np.unique(packets.interface)) == 6


def test_a_large_flow_is_cut_to_what_is_allowed(tmp_path, work):
    found = Evidence(runs.case(tmp_path), work, Limits(passed=8000)).passed()
    assert sum(one.size for one in found) <= 8000
    assert found[-1].name == "one-flow.pcapng"
    assert not pcap.read(found[-1].body).truncated


@pytest.fixture
def tunnel_case(tmp_path):
    """A test of a tunnel, and of one whose verdict points at a frame of a capture that has no flows."""
    window = tmp_path / "test" / "capture-1"
    golden_tunnel.build().write(window)
    verdict = failed("pings", "lost", judged=1, failed=1, evidence=[Evidenced(None, "left-tun0.pcap", (2,), "a", "b")])
    (window / "verdicts.json").write_text(json.dumps([verdict.to_json()]))
    return Case(tmp_path, tmp_path / "test", None)


def test_a_test_of_a_tunnel_has_no_flow_and_shows_how_its_captures_begin(tunnel_case, work):
    found = Evidence(tunnel_case, work).passed()
    assert [one.name for one in found] == ["Verdicts", "all-taps-first.pcapng"]
    assert len(np.unique(pcap.read(found[1].body).interface)) == len(golden_tunnel.TAPS)
    cut = Evidence(tunnel_case, work, Limits(passed=4000)).passed()
    assert sum(one.size for one in cut) <= 4000


def test_one_of_a_tunnel_that_failed_points_at_its_frames(tunnel_case, work):
    found = everything(Evidence(replace(tunnel_case, kind="product"), work).failed())
    assert {f"{tap}.pcap" for tap in golden_tunnel.TAPS} | {"all-taps.pcapng"} <= set(found)
    assert "`left-tun0.pcap`, frame 2" in content(found["Start here"]).decode()
    assert "left-tun0.pcap, frame 2" in content(found["Frames decoded by tshark"]).decode()


def test_one_of_a_tunnel_that_failed_says_why_its_last_mile_carries_nothing(tunnel_case, work):
    finding = {
        "cause": "firewall", "host": "right", "confidence": "proven", "summary": "chain inet fw in drops", "remedy": "",
        "evidence": ["nft trace on right"], "explains": ["small"], "repair": ["right: accept = there"], "search": "",
    }  # fmt: skip
    told = {
        "seconds": 0.5, "probes": {"small": {"goal": True, "ok": False}}, "failing": ["small"],
        "losses": ["small: lost"],
        "findings": [finding], "areas": {"firewall": "finding: right: it drops", "routes": "clean"},
        "sources": {"right": {"used": [], "missing": {"drop reasons": "needs root"}}},
        "repair": {"steps": [{"rows": [["firewall", "right", "accept", "there", "1", "0", "kept"]]}],
                   "conclusion": "resolved by mending: firewall on right"},
    }  # fmt: skip
    (tunnel_case.directory / "lastmile.json").write_text(json.dumps(told))
    groups = Evidence(replace(tunnel_case, kind="product"), work).failed()
    assert "The last mile" in [one.name for one in groups[0].attachments], "it is among what to look at first"
    said = content(everything(groups)["The last mile"]).decode()
    for line in (
        "1. firewall on right (proven): chain inet fw in drops",
        "would set right: accept = there",
        "drop reasons (not on right: needs root)",
        "routes: clean",
        "resolved by mending: firewall on right",
    ):
        assert line in said


def test_one_that_failed_leaves_everything(tmp_path, work):
    case = runs.case(tmp_path, "plain", expect="stamp", kind="product")
    found = everything(Evidence(case, work).failed())
    assert [f"{name}.pcap" for name in TAPS] == [name for name in found if name.endswith(".pcap")]
    for name in TAPS:
        assert content(found[f"{name}.pcap"]) == (case.windows[0] / f"{name}.pcap").read_bytes()
    merged = pcap.read(found["all-taps.pcapng"].body)
    assert len(merged) == sum(len(pcap.read(case.windows[0] / f"{name}.pcap")) for name in TAPS)
    start = content(found["Start here"]).decode()
    assert "The system under test did wrong" in start
    assert "`ip.addr==10.1.0.10 && tcp.port==40000 && ip.addr==10.1.2.10 && tcp.port==8080`" in start
    assert str(case.directory) in start
    assert "`client-eth0.pcap`, frame" in start
    assert "net.ipv4.ip_forward,1,0,1" in content(found["Settings, read back"]).decode()
    assert "client-eth0.pcap," in content(found["Health of the captures"]).decode()
    assert "\n>" in content(found["Ladder of the flow"]).decode(), "frames of the verdicts are marked"
    assert {"Verdicts", "Frames decoded by tshark", "clientnic-stamp.out"} <= set(found)
    assert "clientnic-stamp.err" not in found, "an empty log"


def test_what_a_box_says_is_set_beside_the_wire(tmp_path, work):
    case = runs.case(tmp_path, kind="product")
    sidecar = case.windows[0] / "taps.json"
    document = json.loads(sidecar.read_text())
    lie = next(event for event in document["sut"] if event.get("event") == "counters")
    lie["sent_client"] += 1000
    sidecar.write_text(json.dumps(document))
    lines = (
        content(everything(Evidence(case, work).failed())["Claims of the SUT beside the wire"]).decode().splitlines()
    )
    assert lines[0] == "box,claim,claimed,seen on the wire,agrees"
    assert [line for line in lines if line.startswith("clientnic,sent_client,") and line.endswith(",NO")]
    assert [line for line in lines if "40000 > 10.1.2.10:8080 answered,ISN" in line and line.endswith(",yes")]


def test_no_secret_is_attached(tmp_path, work):
    case = runs.case(tmp_path, kind="product")
    (case.directory / "server.key").write_text(runs.KEY)
    (case.directory / "connections-1.jsonl").write_text('{"token": "abcdef"}\n')
    for one in everything(Evidence(case, work).failed()).values():
        for secret in (b"MIIEvQ", b"hunter2", b"abcdef"):
            assert secret not in content(one), one.name
    log = content(everything(Evidence(case, work).failed())["clientnic-stamp.out"]).decode()
    assert '{"event": "ready"}' in log


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("-----BEGIN RSA PRIVATE KEY-----\nabc", "(a private key, left out of the report)"),
        ("x -----BEGIN OpenVPN Static key V1-----\na\n-----END OpenVPN Static key V1----- y", "x (a private key"),
        ("AWS_SECRET_ACCESS_KEY=abc/def+x end", "AWS_SECRET_ACCESS_KEY=(left out of the report) end"),
        ('"password": "a b", "port": 3', '"password": (left out of the report), "port": 3'),
        ("Authorization: Bearer abc.def\nnext", "Authorization: (left out of the report)\nnext"),
        ("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nabc"),
        ("tokens 3, a secretary: x", "tokens 3, a secretary: x"),
    ],
)
def test_secrets_are_known_by_their_form_or_name(text, clean):
    assert redacted(text).startswith(clean)


def test_long_text_keeps_its_beginning_and_its_end():
    text = bounded("start" + "é" * 5000 + "end", 1000)
    assert text.startswith("start")
    assert text.endswith("end")
    assert "bytes left out" in text
    assert len(text.encode()) < 1100


def test_captures_that_are_too_large_leave_the_flow_and_say_where_they_are(tmp_path, work):
    case = runs.case(tmp_path, kind="product")
    found = everything(Evidence(case, work, Limits(capture=3000)).failed())
    assert not [name for name in found if name.endswith(".pcap")]
    merged = pcap.read(found["all-taps.pcapng"].body)
    assert set(merged.sport[merged.is_tcp].tolist()) <= {40000, 8080}
    start = content(found["Start here"]).decode()
    assert "client-eth0.pcap is too large to attach" in start
    assert "all-taps.pcapng ends after 3,000 bytes; the whole is in the folder above" in start


def test_there_is_a_bound_for_all_attachments_together(tmp_path, work):
    found = everything(Evidence(runs.case(tmp_path, kind="product"), work, Limits(total=20_000)).failed())
    assert sum(one.size for one in found.values() if one.name != "Start here") <= 20_000
    assert "would make this too large" in content(found["Start here"]).decode()


def test_a_test_that_failed_with_large_captures_and_logs_attaches_no_more_than_20_mb(tmp_path, work):
    case = replace(runs.case(tmp_path, kind="product"), message="x\n" + "word " * 20_000)
    frame = bytes(12) + b"\x88\xb5" + bytes(260_000)
    record = struct.pack("<4I", 1, 0, len(frame), len(frame)) + frame
    for file in case.windows[0].glob("*.pcap"):
        with file.open("ab") as capture:
            capture.write(record * 18)
    for name in ("one", "two"):
        (case.directory / f"{name}.out").write_text("word " * 400_000)
    every = [one for group in Evidence(case, work).failed() for one in group.attachments]
    assert sum(file.stat().st_size for file in case.windows[0].glob("*.pcap")) > 25e6
    assert 10e6 < sum(one.size for one in every) <= 20e6
    assert "would make this too large to attach" in content(every[0]).decode()


def test_a_lab_that_could_not_be_built_leaves_its_fault_settings_and_preflight(tmp_path, work):
    case = runs.case(tmp_path, kind="environment")
    (case.lab / "fault.json").write_text('{"kind": "environment", "message": "no delay", "evidence": "wanted 20"}')
    capability = {
        "name": "netem",
        "present": False,
        "detail": "unknown qdisc",
        "remedy": "modprobe",
        "lost_without": "",
    }
    (case.lab / "preflight.json").write_text(json.dumps([capability]))
    (case.lab / "wan-line.err").write_text("cannot open TUN\n")
    case = evidence.Case(case.run, None, case.lab, "environment", "no delay")
    found = everything(Evidence(case, work).failed())
    assert b"wanted 20" in content(found["Fault of the lab"])
    assert b"netem,NO,unknown qdisc,modprobe" in content(found["What this machine can do"])
    assert b"cannot open TUN" in content(found["wan-line.err"])
    assert b"ip_forward,1,0,1" in content(found["Settings, read back"])
    assert "environment was not as claimed" in content(found["Start here"]).decode()


def test_captures_that_cannot_be_read_do_not_keep_the_rest_out(tmp_path, work):
    case = runs.case(tmp_path, kind="harness")
    for file in case.windows[0].glob("*.pcap"):
        file.write_bytes(b"this is no capture at all: " + bytes(40))
    found = everything(Evidence(case, work).failed())
    assert "the captures cannot be correlated" in content(found["Start here"]).decode()
    assert {"client-eth0.pcap", "clientnic-stamp.out", "Verdicts"} <= set(found)
    assert "all-taps.pcapng" not in found


def test_the_flow_shown_is_the_one_that_went_wrong(tmp_path):
    case = runs.case(tmp_path)
    trace = Trace.load(case.windows[0])
    assert shown_flow(trace, []) == 0
    assert shown_flow(trace, [{"evidence": [{"flow": None}, {"flow": trace.flows[1].label}]}]) == 1
    facts = [{"local_port": 40000, "outcome": "ok"}, {"local_port": 40001, "outcome": "reset"}, {"summary": {}}]
    (case.directory / "connections-1.jsonl").write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    assert failed_ports(case.directory) == [40001]
    assert shown_flow(trace, [], [40001]) == 1
    assert shown_flow(trace.only(np.zeros(len(trace), bool)), []) is None


def test_the_filter_tells_flows_of_the_same_ports_apart():
    ends = {"client": ("10.1.0.10", 40000), "server": ("10.1.2.10", 8080)}
    ends = {name: (evidence_address(host), port) for name, (host, port) in ends.items()}
    times = np.array([1_760_000_000_000_000_001, 1_760_000_001_500_000_000, 1_760_000_009_000_000_000])
    flows = [
        SimpleNamespace(**ends, rows=lambda position: [0, 1]),
        SimpleNamespace(**ends, rows=lambda position: [2]),
    ]
    numbers = np.array([[0, 1, 40000], [0, 1, 40000]], np.uint64)
    taps = {0: SimpleNamespace(packets=SimpleNamespace(time=times))}
    trace = SimpleNamespace(flows=flows, taps=taps, client_end=numbers, server_end=numbers)
    assert flow_filter(trace, 0).endswith(
        "&& frame.time_epoch >= 1760000000.000000001 && frame.time_epoch <= 1760000001.500000000"
    )


def evidence_address(text):
    from ipaddress import ip_address

    return ip_address(text)


def test_a_table_is_comma_separated_and_quoted():
    one = attachment.table("x", ("a", "b"), [("1, 2", 'say "x"')])
    assert one.body == b'a,b\n"1, 2","say ""x"""\n'


def test_a_comparison_has_its_latencies_as_plots_also_where_it_passed(tmp_path, work):
    case = runs.case(tmp_path)
    window = case.directory / "capture-1"
    shutil.rmtree(window)
    golden.write(golden.build(replace(SMALL, placement="stamp", flows=8)), window)
    began = Trace.load(window).began
    spans = [("kernel", 0, int(began[4])), ("stamp", int(began[4]), 2 * 10**18)]
    calls = [
        call
        for sut, start, end in spans
        for call in (
            {"call": "start_sut", "sut": sut}, {"call": "moment", "time_ns": start}, {"call": "connections"},
            {"call": "moment", "time_ns": end},
        )
    ]  # fmt: skip
    (case.directory / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    found = {one.name: one for one in Evidence(case, work).passed()}
    for title in plots.METRICS.values():
        assert b"kernel: median" in found[title].body
        assert found[title].kind == attachment.SVG
    assert sum(one.size for one in found.values()) <= 100_000
    groups = everything(Evidence(replace(case, kind="product"), work).failed())
    assert {"The flow, drawn", "Delay of each hop", *plots.METRICS.values()} <= set(groups)
