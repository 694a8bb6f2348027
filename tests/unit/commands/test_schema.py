"""The schemas accept what we ship and what the readers accept, and refuse what the readers refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hopscope import cli
from hopscope.commands.schema import KINDS
from hopscope.errors import DocumentError
from hopscope.model.document import parse_topology
from hopscope.model.jsonschema import SCHEMAS

jsonschema = pytest.importorskip("jsonschema")
FIXTURES = Path(__file__).parents[3] / "fixtures"
FOLDERS = {"topology": "topologies", "sut": "suts"}
BUILT_IN = [(kind, file) for kind, folder in FOLDERS.items() for file in sorted((FIXTURES / folder).glob("*.yaml"))]


def accepts(kind: str, document: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMAS[kind]()).is_valid(document))


def test_the_command_knows_every_schema() -> None:
    assert list(KINDS) == sorted(SCHEMAS)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_schema_and_the_command_prints_it(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert cli.main(["schema", kind]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize(("kind", "file"), BUILT_IN, ids=lambda value: getattr(value, "name", value))
def test_what_we_ship_is_valid(kind: str, file: Path) -> None:
    jsonschema.validate(yaml.safe_load(file.read_text()), SCHEMAS[kind]())


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
