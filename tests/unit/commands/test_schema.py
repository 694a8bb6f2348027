"""The schemas accept what we ship and what the readers accept, and refuse what the readers refuse."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopscope import cli
from hopscope.checks.judge import judge_folder
from hopscope.commands.schema import KINDS, schema_of
from hopscope.errors import DocumentError
from hopscope.model.document import parse_topology
from support import golden_tunnel

jsonschema = pytest.importorskip("jsonschema")
FIXTURES = Path(__file__).parents[3] / "fixtures"
FOLDERS = {"topology": "topologies", "sut": "suts"}
BUILT_IN = [(kind, file) for kind, folder in FOLDERS.items() for file in sorted((FIXTURES / folder).glob("*.yaml"))]


@cache
def validator(kind: str) -> Any:
    """Of a schema that is taken to be one: only the first test looks."""
    return jsonschema.Draft202012Validator(schema_of(kind))


def accepts(kind: str, document: Any) -> bool:
    return bool(validator(kind).is_valid(document))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_schema_and_the_command_prints_it(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert cli.main(["schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize(("kind", "file"), BUILT_IN, ids=lambda value: getattr(value, "name", value))
def test_what_we_ship_is_valid(kind: str, file: Path) -> None:
    validator(kind).validate(yaml.safe_load(file.read_text()))


GOOD = """
name: t
hosts: {client: {}, server: {}}
links:
  - endpoints: ["client:eth0", "server:eth0"]
    subnets: [10.0.0.0/24, "fd00::/64"]
    addresses: [10.0.0.1, [10.0.0.2, "fd00::2"]]
    rtt_ms: 5
sut: mine
suts: {mine: {boxes: {server: {argv: ["true"]}}}}
"""


def test_short_forms_that_the_reader_takes_are_taken() -> None:
    assert accepts("topology", yaml.safe_load(GOOD))


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ("rtt_ms: 5", "rtt: 5"),
        ("rtt_ms: 5", "rtt_ms: -5"),
        ("rtt_ms: 5", 'rtt_ms: "5"'),
        ("name: t", "nmae: t"),
        ("client: {}", "client: {role: king}"),
        ('argv: ["true"]', "argv: true"),
        ("hosts: {client: {}, server: {}}", "hosts: []"),
    ],
)
def test_what_the_reader_refuses_is_refused(was: str, is_now: str) -> None:
    text = GOOD.replace(was, is_now)
    assert text != GOOD
    assert not accepts("topology", yaml.safe_load(text))
    with pytest.raises(DocumentError):
        parse_topology(text)


CAPTURES = FIXTURES / "captures"


def closed(schema: Any) -> Any:
    """The same schema, that has no room for what it does not name: for keys that we print and do not document."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        return {"additionalProperties": False} | inner if "properties" in inner else inner
    return [closed(each) for each in schema] if isinstance(schema, list) else schema


JUDGED = jsonschema.Draft202012Validator(closed(schema_of("judgement")))


@pytest.mark.parametrize(
    "arguments",
    [
        ("hold", "--expect", "stamp"),
        ("foreign-naive",),
        ("stamp", "--top", "slowest=5"),
        ("plain", "--top", "largest=1"),
    ],
    ids=" ".join,
)
def test_what_judge_prints_is_as_documented(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    folder, *more = arguments
    cli.main(["judge", str(CAPTURES / folder), "--json", *more])
    document = json.loads(capsys.readouterr().out)
    JUDGED.validate(document)


def test_a_tunnel_s_judgement_is_as_documented(tmp_path: Path) -> None:
    judgement = judge_folder(golden_tunnel.build().write(tmp_path))
    JUDGED.validate(judgement.to_json() | {"folder": ""})


@pytest.mark.parametrize(
    "change",
    [{"outcome": "OK"}, {"schema": 2}, {"taps": None}, {"verdicts": [{"check": "x"}]}, {"flows": -1},
     {"placements": {"elsewhere": 1}}],
    ids=str,
)  # fmt: skip
def test_what_judge_does_not_print_is_refused(change: dict[str, Any]) -> None:
    document = judge_folder(CAPTURES / "stamp").to_json() | {"folder": "x"}
    assert accepts("judgement", document)
    assert accepts("judgement", [document | {"more": 1}])
    assert not accepts("judgement", document | change)
    assert not accepts("judgement", {key: value for key, value in document.items() if key not in change})
