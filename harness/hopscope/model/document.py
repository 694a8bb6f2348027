"""Topologies and SUTs from YAML: either the frozen model, or a DocumentError that names every problem and its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path as FilePath
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hopscope.errors import DocumentError, UsageError
from hopscope.model.build import build
from hopscope.model.inventory import Inventory
from hopscope.model.schema import TopologySpec
from hopscope.model.strictyaml import Path, Place, Tree, dotted, read
from hopscope.model.sut import Sut
from hopscope.model.topology import Topology, suggestion

Model = TypeVar("Model", bound=BaseModel)

_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)
#: Fields with a default on which no rule between fields depends.
_ALONE = {"description", "forwarding", "mtu", "rtt_ms", "loss", "reorder", "reorder_ms", "ready", "stop", "events"}
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}


def load_topology(path: FilePath) -> Topology:
    """Read a topology. DocumentError with every problem; UsageError when the file cannot be read.

    Local files of inline SUTs are taken relative to the document.
    """
    return parse_topology(_text(path), file=str(path), base=path.parent)


def load_sut(path: FilePath) -> Sut:
    """Read a SUT of a file of its own. Its local files are taken relative to the document."""
    return parse_sut(_text(path), file=str(path), base=path.parent)


def load_inventory(path: FilePath) -> Inventory:
    """Read an inventory. Its paths are taken relative to the document."""
    return parse_inventory(_text(path), file=str(path)).relative_to(path.absolute().parent)


def parse_inventory(text: str, *, file: str = "<text>") -> Inventory:
    document = _Document(read(text), file)
    inventory = document.validate(Inventory)
    document.refuse_problems()
    if inventory is None:
        raise DocumentError([f"{file}:1:1: document: no inventory"])
    return inventory


def parse_topology(text: str, *, file: str = "<text>", base: FilePath | None = None) -> Topology:
    document = _Document(read(text), file)
    spec = document.validate(TopologySpec)
    topology = build(spec, document.report) if spec is not None else None
    document.refuse_problems()
    if topology is None:
        raise DocumentError([f"{file}:1:1: document: no topology"])
    suts = {name: _with_base(sut, base) for name, sut in topology.suts.items()}
    return topology.model_copy(update={"suts": suts})


def parse_sut(text: str, *, file: str = "<text>", base: FilePath | None = None) -> Sut:
    document = _Document(read(text), file)
    sut = document.validate(Sut)
    document.refuse_problems()
    if sut is None:
        raise DocumentError([f"{file}:1:1: document: no SUT"])
    return _with_base(sut, base)


def _text(path: FilePath) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DocumentError([f"{path}:1:1: document: not UTF-8 (byte {error.start})"]) from None


def _with_base(sut: Sut, base: FilePath | None) -> Sut:
    """Absolute local files, so that a SUT no longer depends on where its document is."""
    if base is None:
        return sut
    boxes = {}
    for key, box in sut.boxes.items():
        files = {remote: str((base / local).absolute()) for remote, local in box.files.items()}
        boxes[key] = box.model_copy(update={"files": files})
    return sut.model_copy(update={"boxes": boxes})


class _Document:
    def __init__(self, tree: Tree, file: str) -> None:
        self.tree = tree
        self.file = file
        self.problems = list(tree.problems)

    def report(self, path: Path, problem: str) -> None:
        self.problems.append((self.tree.place(path), path, problem))

    def refuse_problems(self) -> None:
        if self.problems:
            unique = dict.fromkeys(sorted(self.problems, key=lambda each: (each[0].line, each[0].column)))
            raise DocumentError(
                f"{self.file}:{place.line}:{place.column}: {dotted(path)}: {problem}" for place, path, problem in unique
            )

    def validate(self, model: type[Model]) -> Model | None:
        """The model, as far as it can be made: what stands alone is left out when it is wrong, after its report."""
        if self.problems and self.tree.data is None:
            return None
        if not isinstance(self.tree.data, dict):
            self.report((), "the document must be a mapping")
            return None
        found: Model | None = None
        try:
            found = model.model_validate(self.tree.data)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            for each in errors:
                self.report_error(model, each)
            with suppress(ValidationError):
                found = model.model_validate(_without(self.tree.data, errors))
        self.report_odd_numbers()
        return found

    def report_odd_numbers(self) -> None:
        """Numbers that YAML 1.1 reads in another base (010, 0x1f, 1:30) or with underscores."""
        reported = {path for _, path, _ in self.problems}
        for path, scalar in self.tree.scalars.items():
            if path not in reported and scalar.kind == "a number" and not _PLAIN_NUMBER.fullmatch(scalar.text):
                problem = (
                    f"{scalar.text} is read as a number in YAML's own way: write a plain decimal number, or quote it"
                )
                self.report(path, problem)

    def report_error(self, model: type[BaseModel], error: ErrorDetails) -> None:
        path: Path = error["loc"]
        place: Place | None = None
        if error["type"] == "extra_forbidden":
            key = str(path[-1])
            problem = f"unknown key {key!r}{suggestion(key, _fields(model, path[:-1]))}"
            place = self.tree.keys.get(path)
        elif error["type"] == "missing":
            problem = f"{str(path[-1])!r} is missing"
            path = path[:-1]
        else:
            problem = self.explain(path, error)
        self.problems.append((place or self.tree.place(path), path, problem))

    def explain(self, path: Path, error: ErrorDetails) -> str:
        scalar = self.tree.scalars.get(path)
        wanted = _WANTED.get(error["type"])
        if wanted == "text" and scalar is not None and scalar.kind:
            return f'{scalar.text} is read as {scalar.kind} by YAML: quote it, "{scalar.text}"'
        if wanted:
            return f"must be {wanted}, not {_described(error['input'])}{self.number_hint(path, wanted)}"
        if error["type"] in ("enum", "literal_error"):
            known = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
            return f"{error['input']!r} is not possible{suggestion(str(error['input']), known)}"
        return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")

    def number_hint(self, path: Path, wanted: str) -> str:
        scalar = self.tree.scalars.get(path)
        if scalar is None or scalar.kind is not None or "number" not in wanted:
            return ""
        try:
            return f"; write {float(scalar.text)!r}, without quotes or short forms that YAML 1.1 reads as text"
        except ValueError:
            return ""


def _without(data: dict[str, Any], errors: list[ErrorDetails]) -> dict[str, Any]:
    """A copy without the faulty values on which nothing else depends, so that the rest can still be judged."""
    copy = deepcopy(data)
    for error in errors:
        if not error["loc"]:  # of the document as a whole
            continue
        *above, last = error["loc"]
        if error["type"] != "extra_forbidden" and last not in _ALONE:
            continue
        at: Any = copy
        for part in above:
            at = at[part]
        at.pop(last, None)
    return copy


def _described(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {value!r}"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case int() | float():
            return f"the number {value}"
    return "this"


def _fields(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the model takes at a path, for suggestions."""
    at: Any = model
    for part in path:
        at = _inner(at, part)
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []


def _inner(kind: Any, part: str | int) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _bare(kind.model_fields[part].annotation) if part in kind.model_fields else None
    arguments = [each for each in get_args(kind) if each is not Ellipsis]
    return _bare(arguments[-1]) if arguments else None


def _bare(kind: Any) -> Any:
    """Without Optional and Annotated."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = next((each for each in get_args(kind) if each is not NoneType), None)
    return kind


def from_document(document: Mapping[str, Any]) -> Topology:
    """The topology of a manifest: what ``Topology.document()`` gave. DocumentError when it is none."""
    tree = Tree(data=dict(document))
    checked = _Document(tree, "<document>")
    spec = checked.validate(TopologySpec)
    topology = build(spec, checked.report) if spec is not None else None
    checked.refuse_problems()
    if topology is None:
        raise DocumentError(["<document>:1:1: document: no topology"])
    return topology
