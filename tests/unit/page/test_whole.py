"""The page of a run: what a reader must find in it, and what must not get out of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from hopscope import cli
from hopscope.errors import EnvironmentFault, UsageError
from hopscope.lastmile.infer import infer
from hopscope.lastmile.render import document
from hopscope.page import whole
from hopscope.page.whole import page
from hopscope.run.rundir import Run, note_fault, write_json
from support import lastmile, runs

VOID = {"meta", "br", "hr"}


class Page(HTMLParser):
    """Elements with their attributes, words, and whether every element was closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def of(self, tag, **wanted):
        return [a for t, a in self.elements if t == tag and all(a.get(k.rstrip("_")) == v for k, v in wanted.items())]


def naive(tmp_path, **more):
    return runs.case(tmp_path, "foreign-naive", expect="hold", kind="product", **more)


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    case = naive(tmp_path_factory.mktemp("failed"))
    return Page(page(runs.ended(case, "FAIL", "carried_by FAIL: 2 flows carried by the kernel")))


def test_a_failure_says_what_whose_fault_which_flow_and_which_frames(failed):
    assert "1 failed" in failed.text
    assert "the product's" in failed.text
    assert "2 flows carried by the kernel" in failed.text
    assert re.search(
        r"172\.31\.7\.20:51000 > \S+ ClientNIC-ens5.pcap frame 7: expected only the box's own", failed.text
    )
    assert re.search(
        r"not the system under test that carried this: 2 flows \S.* carried by the kernel\. "
        r"172\.31\.7\.20:51000 > \S+ : ClientNIC-ens5.pcap, frame 7, is the server's real SYN-ACK",
        failed.text,
    )
    assert "hopscope judge " in failed.text
    assert "ip.addr==172.31.7.20 && tcp.port==51000" in failed.text
    opened = [a for a in failed.of("details") if "open" in a]
    assert len(opened) == 1, "the flow that a verdict names"
    assert any("marked" in (a.get("class") or "") for a in failed.of("line"))


def test_the_chain_is_told_hop_by_hop_in_a_picture_and_a_table(tmp_path):
    found = Page(page(runs.ended(runs.case(tmp_path), "PASS")))
    assert "servernic-eth0 → clientnic-eth1" in found.text
    assert len(found.of("tr", class_="lost")) == 1, "the WAN loses one response segment"
    assert "10.000 ms" in found.text
    (chain,) = [a for a in found.of("svg") if a["aria-labelledby"].endswith("chain-d")]
    assert chain["role"] == "img"


def test_what_captures_that_lost_packets_call_lost_is_said_to_be_no_more_than_that(tmp_path):
    case = runs.case(tmp_path)
    told = json.loads((case.windows[0] / "taps.json").read_text())
    told["taps"]["servernic-eth0.pcap"] |= {"dropped": 3}
    write_json(case.windows[0] / "taps.json", told)
    found = Page(page(runs.ended(case, "INCONCLUSIVE")))
    assert (
        "servernic-eth0.pcap may have missed some of them: what is called lost was not seen, and no more" in found.text
    )


def test_what_did_not_pass_comes_first_and_is_linked(tmp_path):
    passed = runs.case(tmp_path)
    runs.ended(passed, "PASS", nodeid="a.py::first")
    shutil.copytree(passed.directory, passed.run / "tests" / "other")
    run = runs.ended(replace(passed, directory=passed.run / "tests" / "other", kind="harness"), "INCONCLUSIVE", "blind",
                     nodeid="b.py::second")  # fmt: skip
    found = Page(page(run))
    assert found.text.index("INCONCLUSIVE b.py::second") < found.text.index("PASS a.py::first")
    assert "nobody's yet: the harness could not see enough" in found.text
    assert found.words.count("verdicts, chain, flows, settings") == 1, "the one that passed"
    ids = [a["id"] for _, a in found.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"].removeprefix("#") for a in found.of("a")} <= set(ids)


HOSTILE = "x.py::t[<script>alert(1)</script>\" onmouseover='x'\x1b[31m&lt;]"


def test_hostile_names_are_words(tmp_path):
    case = naive(tmp_path)
    verdicts = runs.told(case.directory / "capture-1")
    verdicts[0] |= {"outcome": "FAIL", "check": "<img src=x onerror=alert(1)>", "summary": "</table></style><script>"}
    write_json(case.directory / "capture-1" / "verdicts.json", verdicts)
    found = Page(page(runs.ended(case, "FAIL", "</code><iframe src='http://127.0.0.1'>", nodeid=HOSTILE)))
    assert not {"script", "iframe", "img", "object", "link"} & {tag for tag, _ in found.elements}
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    assert "<script>alert(1)</script>" in found.text


def test_it_loads_nothing_and_runs_nothing(failed):
    (policy,) = failed.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")
    urls = [a[name] for _, a in failed.elements for name in ("src", "href") if name in a]
    assert all(url.startswith("#") for url in urls)


def test_it_can_be_used_without_sight_and_without_a_mouse(failed):
    assert failed.of("html", lang="en")
    assert failed.of("main")
    levels = [int(tag[1]) for tag, _ in failed.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(a.get("scope") == "col" for a in failed.of("th"))
    assert all(a.get("tabindex") == "0" and a.get("aria-label") for a in failed.of("div", class_="wide"))


def test_secrets_of_a_run_are_left_out(tmp_path):
    told = page(runs.ended(naive(tmp_path), "FAIL", "login with password: hunter2 failed"))
    assert "hunter2" not in told


def test_the_last_mile_shows_where_the_path_ended_and_what_mended_it(tmp_path):
    case = naive(tmp_path)
    broken = lastmile.Broken()
    broken.lose("tunnel", after=2)
    view = broken.view()
    told = document(view, infer(view))
    row = ["rp_filter", "right", "sysctl net.ipv4.conf.all.rp_filter", "0", "4", "0", "kept"]
    told["repair"] = {"findings": [], "steps": [{"rows": [row], "kept": True, "why": ""}], "failing": [], "left": [],
                      "conclusion": "resolved by mending: rp_filter on right"}  # fmt: skip
    write_json(case.directory / "lastmile.json", told)
    found = Page(page(runs.ended(case, "FAIL")))
    failing = len(told["failing"])
    assert f"Probes that fail: {failing} before, 0 after. resolved by mending: rp_filter on right" in found.text
    assert len(found.of("li", class_="here")) == min(failing, 4)
    assert "✓ left tun0 out ✓ right tun0 in ✗ not seen at right tun0 out (answer) left tun0 in" in found.text


def test_a_lab_that_could_not_be_had_is_told(tmp_path):
    run = Run.create(tmp_path / "runs", {"hopscope": "0.1.0"})
    note_fault(run.lab_directory("chain"), EnvironmentFault("no /dev/net/tun"))
    found = Page(page(run.directory))
    assert "The lab of chain could not be had" in found.text
    assert "environment: no /dev/net/tun" in found.text


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("verdicts.json", '{"not": "a list"}'), ("verdicts.json", '["no verdict", 7, null]'),
        ("verdicts.json", '[{"outcome": "FAIL", "evidence": [7]}]'), ("verdicts.json", "[{}]"),
        ("../lastmile.json", '{"probes": 7}'), ("../test.json", '{"rtt_ms": "x"}'), ("../test.json", "half"),
        ("../story.jsonl", "[1]"), ("taps.json", '{"taps": []}'), ("../calls.jsonl", '{"call": 1}'),
    ],
)  # fmt: skip
def test_files_that_are_not_ours_cost_a_sentence_and_no_page(tmp_path, file, content):
    case = runs.case(tmp_path)
    (case.directory / "capture-1" / file).write_text(content)
    assert "test_x.py::test_x" in Page(page(runs.ended(case, "PASS"))).text


def test_captures_that_cannot_be_read_cost_a_sentence_and_no_page(tmp_path):
    case = runs.case(tmp_path)
    for file in (case.directory / "capture-1").glob("*.pcap"):
        file.write_bytes(b"no pcap at all")
    assert "The captures cannot be correlated" in Page(page(runs.ended(case, "PASS"))).text


def test_a_run_too_large_to_draw_whole_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(whole.CAPTURE_BYTES, False, 10)
    found = Page(page(runs.ended(runs.case(tmp_path), "PASS")))
    assert "Its captures are not drawn here." in found.text
    assert not found.of("svg")


def test_a_run_that_is_of_an_earlier_version_has_its_outcomes_from_its_verdicts(tmp_path):
    case = naive(tmp_path)
    run = runs.ended(case, "FAIL")
    (run / "outcomes.jsonl").write_text('{"half a li')
    found = Page(page(run))
    assert "1 failed" in found.text
    assert "the product's" in found.text


def test_the_command_writes_it_beside_the_run_and_refuses_what_is_none(tmp_path, capsys):
    run = runs.ended(runs.case(tmp_path), "PASS")
    assert cli.main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert cli.main(["report", str(tmp_path / "none")]) == 64
    assert "no run directory" in capsys.readouterr().err
    assert cli.main(["report", str(run), "--output", str(tmp_path / "no" / "where.html")]) == 64
    with pytest.raises(UsageError):
        page(tmp_path)


def test_workers_of_one_session_are_one_page(tmp_path):
    run = runs.ended(runs.case(tmp_path), "PASS", nodeid="a.py::one")
    manifest = json.loads((run / "manifest.json").read_text()) | {"session": "s"}
    write_json(run / "manifest.json", manifest)
    beside = run.with_name("20991231T000000-gw1")
    shutil.copytree(run, beside)
    (beside / "outcomes.jsonl").write_text((run / "outcomes.jsonl").read_text().replace("::one", "::two"))
    manifest["tests"][0]["test"] = "a.py::two"
    write_json(beside / "manifest.json", manifest)
    assert "2 passed" in Page(page(run)).text
