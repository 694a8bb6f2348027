"""``hopscope schema topology``: a JSON Schema, so that editors complete and check documents while they are typed.

``hopscope schema judgement`` is of what ``hopscope judge --json`` prints.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]


KINDS = ("inventory", "judgement", "sut", "topology")


def add(commands: Subparsers) -> None:
    parser = commands.add_parser("schema", help="JSON Schema of topologies, SUTs, inventories or judgements")
    parser.add_argument("kind", choices=KINDS, metavar="|".join(KINDS))
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    print(json.dumps(schema_of(arguments.kind), indent=1))
    return 0


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of one of KINDS."""
    if kind == "judgement":
        from hopscope.checks.document import judgement  # brings NumPy

        return judgement()
    from hopscope.model.jsonschema import SCHEMAS  # brings pydantic, which most commands do without

    return SCHEMAS[kind]()
