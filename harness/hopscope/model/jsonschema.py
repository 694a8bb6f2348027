"""JSON Schema (draft 2020-12) of the documents that people write. It says what a field may be; what the fields mean
together, only reading the document tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hopscope.model.inventory import Inventory
from hopscope.model.schema import TopologySpec
from hopscope.model.sut import Sut

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def topology() -> dict[str, Any]:
    schema = TopologySpec.model_json_schema()
    definitions = schema["$defs"]
    # As the readers take it: a name for each SUT is its key, and one address needs no list.
    definitions["Sut"]["required"] = [each for each in definitions["Sut"].get("required", []) if each != "name"]
    addresses = definitions["LinkSpec"]["properties"]["addresses"]
    for choice in addresses["anyOf"]:
        if choice.get("type") == "array":
            choice["items"] = {"anyOf": [choice["items"], {"type": "string"}]}
    return {"$schema": DRAFT, **schema, "title": "Hopscope topology"}


def sut() -> dict[str, Any]:
    return {"$schema": DRAFT, **Sut.model_json_schema(), "title": "Hopscope SUT"}


def inventory() -> dict[str, Any]:
    return {"$schema": DRAFT, **Inventory.model_json_schema(), "title": "Hopscope inventory"}


SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {"topology": topology, "sut": sut, "inventory": inventory}
