from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopscope.errors import DocumentError, UsageError
from hopscope.model.document import from_document, load_sut, load_topology, parse_sut, parse_topology
from hopscope.model.sut import Sut
from hopscope.model.topology import Topology

CHAIN = Path("fixtures/topologies/chain.yaml")
PAIR = """\
name: pair
hosts:
  left: {}
  right: {}
links:
  - endpoints: ["left:eth0", "right:eth0"]
    subnet: 10.0.0.0/24
"""


def problems(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse_topology(text, file="t.yaml")
    return list(caught.value.problems)


def only_problem(text: str) -> str:
    (found,) = problems(text)
    return found


def changed(old: str, new: str) -> str:
    assert old in PAIR
    return PAIR.replace(old, new)


def test_pair_has_addresses_service_and_defaults() -> None:
    topology = parse_topology(PAIR)
    assert [str(port.addresses[0]) for port in topology.ports] == ["10.0.0.1/24", "10.0.0.2/24"]
    assert topology.service.host == "right"
    assert topology.service.ports == (8080, 8081, 8082, 8083)
    assert topology.ports[0].mtu == 1500
    assert not topology.host("left").forwarding


def test_both_families_on_one_link() -> None:
    text = changed("subnet: 10.0.0.0/24", 'subnets: [10.0.0.0/24, "fd00::/64"]')
    topology = parse_topology(text)
    assert [str(each) for each in topology.ports[1].addresses] == ["10.0.0.2/24", "fd00::2/64"]
    explicit = text + '    addresses: [["fd00::9", 10.0.0.9], [10.0.0.3, "fd00::3"]]\n'
    assert [str(each) for each in parse_topology(explicit).ports[0].addresses] == ["10.0.0.9/24", "fd00::9/64"]


@pytest.mark.parametrize(
    ("old", "new", "where", "what"),
    [
        ("name: pair", "nam: pair", "1:1", "unknown key 'nam', did you mean 'name'?"),
        ("left: {}", "no: {}", "3:3", 'read as a boolean by YAML: quote it, "no"'),
        ("left: {}", "left: {}\n  left: {}", "4:3", "a second 'left'; the first is in line 3"),
        ("left: {}", "left: {role: cleint}", "3:16", "did you mean 'client'?"),
        ("left: {}", "left: {forwarding: 'yes'}", "3:22", "must be true or false"),
        ("left: {}", "left: {}\n  lost: {}", "4:9", "no link leads from 'left' to 'lost'"),
        ("left: {}", "'bad name': {}\n  left: {}", "3:15", "is no name of a host"),
        ("left:eth0", "lift:eth0", "6:17", "unknown host 'lift', did you mean 'left'?"),
        ("right:eth0", "left:eth1", "6:16", "both ends are on host 'left'"),
        ("left:eth0", "left:ethernet90123456", "6:17", "Linux takes 15"),
        ("left:eth0", "left:lo", "6:17", "cannot be the name of an interface"),
        ("left:eth0", "left", "6:17", "HOST:INTERFACE"),
        ("10.0.0.0/24", "10.0.0.7/24", "7:13", "did you mean 10.0.0.0/24?"),
        ("10.0.0.0/24", "1.10", "7:13", 'quote it, "1.10"'),
        ("10.0.0.0/24", "10.0.0.1/32", "7:13", "no room for two ports"),
        ("10.0.0.0/24", "10.0.0.0/24\n    addresses: [10.0.1.1, 10.0.0.2]", "8:17", "outside the link's 10.0.0.0/24"),
        ("10.0.0.0/24", "10.0.0.0/24\n    addresses: [10.0.0.2, 10.0.0.2]", "8:27", "address of left:eth0 already"),
        ("10.0.0.0/24", "10.0.0.0/24\n    addresses: [10.0.0.0, 10.0.0.2]", "8:17", "network address"),
        ("10.0.0.0/24", "10.0.0.0/24\n    addresses: [10.0.0.255, 10.0.0.2]", "8:17", "broadcast address"),
        ("10.0.0.0/24", "10.0.0.0/24\n    addresses: [10.0.0.1/24, 10.0.0.2]", "8:17", "without a prefix"),
        ("10.0.0.0/24", "10.0.0.0/24\n    addresses: [10.0.0.1]", "8:16", "two endpoints; got 1"),
        (
            "10.0.0.0/24",
            "10.0.0.0/24\n    addresses: [[], 10.0.0.1]",
            "8:17",
            "left:eth0 has no address in 10.0.0.0/24",
        ),
        ("10.0.0.0/24", "10.0.0.0/24\n    rtt_ms: -1", "8:13", "greater than or equal to 0"),
        ("10.0.0.0/24", "10.0.0.0/24\n    rtt_ms: .inf", "8:13", "finite"),
        ("10.0.0.0/24", "10.0.0.0/24\n    rtt_ms: 1e3", "8:13", "write 1000.0"),
        ("10.0.0.0/24", "10.0.0.0/24\n    loss: 1.5", "8:11", "less than or equal to 1"),
        ("10.0.0.0/24", "10.0.0.0/24\n    mtu: 02734", "8:10", "write a plain decimal number"),
        ("10.0.0.0/24", "10.0.0.0/24\n    mtu: true", "8:10", "a whole number, not true"),
        ("10.0.0.0/24", "10.0.0.0/24\n    macs: [52:54:00:12:34:56, x]", "8:12", "quote it"),
        ("10.0.0.0/24", "10.0.0.0/24\n    macs: ['01:00:00:00:00:01', '02:00:00:00:00:01']", "8:12", "group address"),
        ("10.0.0.0/24", "fd00::/64\n    mtu: 1000", "7:13", "IPv6 needs an MTU of 1280"),
        ("    subnet: 10.0.0.0/24\n", "", "6:5", "needs a subnet"),
        ("name: pair", "name: pair\nservice: {host: rihgt}", "2:17", "did you mean 'right'?"),
        ("name: pair", "name: pair\nservice: {ports: [1, 1]}", "2:22", "listed twice"),
        ("name: pair", "name: pair\nservice: {ports: []}", "2:18", "at least 1 item"),
        ("name: pair", "name: pair\nsuts: {a: {boxes: {lefty: {argv: [a]}}}}", "2:27", "did you mean 'left'?"),
        ("name: pair", "name: pair\nsuts: {a: {boxes: {host: {argv: [a]}}}}", "2:26", "2 hosts have the role 'host'"),
        ("name: pair", "name: pair\nsuts: {a: {boxes: {left: {argv: ['{pyton}']}}}}", "2:33", "unknown placeholder"),
        ("name: pair", "name: 2026-01-02", "1:7", "read as a date by YAML"),
        ("name: pair", "name: !!python/name:os.system x", "1:7", "is not supported"),
        ("name: pair", "name: pair\n<<: {}", "2:1", "merge keys"),
    ],
)
def test_each_problem_has_its_place_and_remedy(old: str, new: str, where: str, what: str) -> None:
    found = problems(changed(old, new))
    assert any(each.startswith(f"t.yaml:{where}: ") and what in each for each in found), found


def test_problems_of_one_value_are_told_once() -> None:
    assert "quote it" in only_problem(changed("10.0.0.0/24", "1.10"))
    assert "less than or equal to 65535" in only_problem(PAIR + "    mtu: 70_000\n")


def test_all_problems_at_once_in_order_of_the_file() -> None:
    text = changed("left: {}", "left: {forwarding: 1}").replace("right:eth0", "rihgt:eth0") + "    rtt: 3\n"
    found = problems(text)
    assert [each.split(":")[1] for each in found] == ["3", "6", "8"]
    assert "did you mean 'rtt_ms'" in found[2]


def test_subnets_of_links_must_not_overlap_and_ports_end_one_link() -> None:
    text = PAIR + '  - endpoints: ["left:eth0", "right:eth1"]\n    subnet: 10.0.0.0/16\n'
    assert [each.partition(": ")[2] for each in problems(text)] == [
        "links[1].endpoints[0]: port 'left:eth0' is used twice; a port ends one link",
        "links[1].subnet: subnet 10.0.0.0/16 overlaps 10.0.0.0/24 of links[0]",
    ]


@pytest.mark.parametrize(
    "text", ["", "- a", "a", "a: [", "\x00", "? {a: b}\n: c", "&a [*a]", "[" * 1500, "--- a\n--- b"]
)
def test_what_is_no_topology_is_a_document_error(text: str) -> None:
    assert all(re.match(r"t\.yaml:\d+:\d+: ", each) for each in problems(text))


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert any("not a document for people" in each for each in problems("\n".join(lines)))


WORDS = """
name hosts links endpoints subnet subnets addresses macs role client rtt_ms suts boxes argv no 1.10 010 ~ .nan
0b_ left:eth0 10.0.0.0/24 fd00::/64 2026-01-02 2026-99-99 1:2 *a &a ! !!int << = {} [] x
"""
ATOMS = st.sampled_from(WORDS.split())
YAMLISH = st.lists(
    st.tuples(ATOMS, st.sampled_from([": ", "\n", "\n  ", "\n- ", ", ", " [", "]", "{", "}"])), max_size=25
)


@given(st.one_of(st.text(), YAMLISH.map(lambda parts: "".join(a + b for a, b in parts))))
def test_any_text_gives_a_topology_or_a_document_error(text: str) -> None:
    try:
        assert isinstance(parse_topology(text), Topology)
    except DocumentError as error:
        assert error.problems  # noqa: PT017


@given(st.data())
def test_any_change_of_a_good_document_gives_a_topology_or_a_document_error(data: st.DataObject) -> None:
    text = CHAIN.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    middle = data.draw(st.one_of(st.text(max_size=8), ATOMS))
    try:
        parse_topology(text[:start] + middle + text[end:])
    except DocumentError as error:
        assert error.problems  # noqa: PT017


@given(
    st.integers(2, 6),
    st.lists(st.floats(0, 60_000), min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_a_topology_survives_its_document(hosts: int, rtts: list[float], sixes: list[bool]) -> None:
    links = []
    for index in range(hosts - 1):
        six = [f"fd00:{index}::/64"] if sixes[index] else []
        endpoints = [f"h{index}:right", f"h{index + 1}:left"]
        links.append({"endpoints": endpoints, "subnets": [f"10.0.{index}.0/24", *six], "rtt_ms": rtts[index]})
    names: dict[str, object] = {f"h{index}": {} for index in range(hosts)}
    suts = {"box": {"boxes": {"h0": {"argv": ["{python}"], "ready": {"line": "up"}, "files": {"a": "b"}}}}}
    topology = from_document({"name": "row", "hosts": names, "links": links, "suts": suts})
    assert from_document(topology.document()) == topology
    assert math.isclose(topology.rtt_ms("h0", "h1"), rtts[0])


def test_a_manifest_without_links_has_a_reason() -> None:
    with pytest.raises(DocumentError, match="'links' is missing"):
        from_document({"name": "x", "hosts": {"a": {}}})


def test_local_files_of_a_sut_are_relative_to_its_document(tmp_path: Path) -> None:
    document = tmp_path / "mine.yaml"
    document.write_text("name: mine\nplacement: hold\nboxes: {client: {argv: [run], files: {box.o: build/box.o}}}\n")
    assert load_sut(document).boxes["client"].files == {"box.o": str(tmp_path / "build/box.o")}
    assert Sut.model_validate(load_sut(document).document()) == load_sut(document)


def test_what_a_sut_promises_is_for_systems_that_translate() -> None:
    text = "name: x\nplacement: {}\npromises: [{}]\nboxes: {{client: {{argv: [run]}}}}\n"
    assert parse_sut(text.format("stamp", "identities")).promises == ("identities",)
    assert parse_sut(text.format("hold", "identities, round_trips")).promises == ("identities", "round_trips")
    for placement, promise, what in (
        ("none", "identities", "promises are for systems that translate"),
        ("proxy", "identities", "promises are for systems that translate"),
        ("hold", "identity", "did you mean 'identities'?"),
    ):
        with pytest.raises(DocumentError, match=re.escape(what)):
            parse_sut(text.format(placement, promise))


def test_a_sut_names_its_problems() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_sut("name: x\nplacement: stmp\nboxes:\n  client: {argv: [], ready: {line: '('}, stop: KILL}\n")
    text = str(caught.value)
    assert "2:12: placement: 'stmp' is not possible, did you mean 'stamp'?" in text
    assert "at least 1 item" in text
    assert "not a regular expression" in text
    assert "'KILL' is not possible" in text


@pytest.mark.parametrize(
    ("box", "where", "what"),
    [
        ("argv: [a], nftt: {}", "3:23", "unknown key 'nftt', did you mean 'nft'?"),
        ("cwd: /", "3:11", "needs something to run or to apply: argv, setup or nft"),
        ("setup: [[a]], ready: {line: up}", "3:11", "'ready' speaks of a process: it needs argv"),
        ("setup: [nft]", "3:20", "must be a list, not the text 'nft'"),
        ("setup: [[]]", "3:20", "at least 1 item"),
        ("argv: [a], user: u, sudo: true", "3:11", "user and sudo exclude each other"),
        ("argv: [a], sudo: 1", "3:29", "must be true or false"),
        ("argv: [a], kernel_forwarding: nft", "3:11", "needs the rules that keep the kernel out, under nft"),
        ("argv: [a], kernel_forwarding: nf", "3:42", "'nf' is not possible, did you mean 'nft'?"),
        ("argv: [a], files: {/etc/x: y}", "3:30", "'/etc/x' must be below the host's directory"),
        ("argv: [a], files: {a/../../x: y}", "3:30", "must be below the host's directory"),
        ("nft: {chains: {a: {rule: []}}}", "3:31", "unknown key 'rule', did you mean 'rules'?"),
        ("nft: {chains: {}}", "3:26", "at least 1 item"),
        ("nft: {table: 'a b', chains: {a: {}}}", "3:25", "should match pattern"),
    ],
)
def test_each_problem_of_a_box_has_its_place_and_remedy(box: str, where: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_sut(f"name: x\nboxes:\n  client: {{{box}}}\n", file="s.yaml")
    assert any(each.startswith(f"s.yaml:{where}: ") and what in each for each in caught.value.problems), str(
        caught.value
    )


def test_a_box_of_rules_or_commands_survives_its_document() -> None:
    rules = "nft: {family: ip, chains: {a: {hook: 'type filter hook forward priority 0;', rules: ['drop']}}}"
    sut = parse_sut(f"name: x\nfetch: there\nboxes: {{client: {{setup: [[a, b]], teardown: [[c]], {rules}}}}}\n")
    assert Sut.model_validate(sut.document()) == sut
    assert sut.boxes["client"].command(python="p", host_dir="d") == ()


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load_topology(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff")
    with pytest.raises(DocumentError, match="not UTF-8"):
        load_topology(tmp_path / "latin.yaml")


def test_budgets_are_limits_in_milliseconds_by_metric() -> None:
    topology = parse_topology(PAIR + "budgets: {ttfb_ms: 45, send_unlock_ms: 1.5}\n")
    assert topology.budgets == {"ttfb": 45.0, "send_unlock": 1.5}
    assert from_document(topology.document()) == topology
    assert parse_topology(PAIR).budgets == {}


@pytest.mark.parametrize(
    ("budgets", "problem"),
    [
        ("{tfb_ms: 45}", "t.yaml:8:11: budgets.tfb_ms: unknown key 'tfb_ms', did you mean 'ttfb_ms'?"),
        ("{ttfb_ms: 0}", "t.yaml:8:20: budgets.ttfb_ms: must be greater than 0"),
        ("{ttfb_ms: fast}", "t.yaml:8:20: budgets.ttfb_ms: must be a number, not the text 'fast'"),
        ("{ttfb_ms: .nan}", "t.yaml:8:20: budgets.ttfb_ms:"),
        ("45", "t.yaml:8:10: budgets: must be a mapping, not the number 45"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused_at_its_place(budgets: str, problem: str) -> None:
    assert only_problem(f"{PAIR}budgets: {budgets}\n").startswith(problem)
