"""``hopscope schema topology``: a JSON Schema, so that editors complete and check documents while they are typed."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[Any]


KINDS = ("inventory", "sut", "topology")


def add(commands: Subparsers) -> None:
    parser = commands.add_parser("schema", help="JSON Schema of topologies, SUTs or inventories, for editors")
    parser.add_argument("kind", choices=KINDS, metavar="|".join(KINDS))
    parser.set_defaults(command=command)


def command(arguments: argparse.Namespace) -> int:
    from hopscope.model.jsonschema import SCHEMAS  # brings pydantic, which most commands do without

    print(json.dumps(SCHEMAS[arguments.kind](), indent=1))
    return 0
