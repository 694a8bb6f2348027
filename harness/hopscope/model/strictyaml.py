"""YAML to plain data with the place of every value, refusing what YAML 1.1 would quietly make something else.

``yaml.compose`` gives nodes with marks; this turns them into dicts, lists and scalars and keeps, for each path, where
it stands and how it was written. Duplicate keys, keys that are no text, merge keys and foreign tags are problems.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

#: Where a value is in its document: keys and list indexes from the root.
Path = tuple[str | int, ...]

_MAX_NODES = 50_000
_KINDS = {
    "tag:yaml.org,2002:bool": "a boolean",
    "tag:yaml.org,2002:int": "a number",
    "tag:yaml.org,2002:float": "a number",
    "tag:yaml.org,2002:null": "null",
    "tag:yaml.org,2002:timestamp": "a date",
    "tag:yaml.org,2002:value": "a special mark",
    "tag:yaml.org,2002:merge": "a merge key",
}
_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Place:
    """1-based, as editors count."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True)
class Scalar:
    """How a scalar was written: its text, and what YAML takes an unquoted one for (None: text)."""

    text: str
    kind: str | None


class Unclear:
    """Stands in the data for a scalar whose type no field takes (a date, a mark): every validation refuses it."""


@dataclass
class Tree:
    """A document as data, with the place of each value and key, how scalars were written, and what is wrong."""

    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    scalars: dict[Path, Scalar] = field(default_factory=dict)
    problems: list[tuple[Place, Path, str]] = field(default_factory=list)

    def place(self, path: Path) -> Place:
        """Of the value at the path, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return Place()


def read(text: str) -> Tree:
    """The tree of the one document in ``text``. Never raises for what the text holds."""
    tree = Tree()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place()
        tree.problems.append((place, (), " ".join(filter(None, [error.context, error.problem]))))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        tree.problems.append((place, (), f"character {error.character!r} is not allowed in YAML"))
    except RecursionError:
        tree.problems.append((Place(), (), "nested too deeply"))
    except ValueError as error:  # PyYAML lets int() and chr() fail on escapes and directives
        tree.problems.append((Place(), (), f"not YAML: {error}"))
    else:
        if node is None:
            tree.problems.append((Place(), (), "the document is empty"))
        else:
            _Reader(tree).read(node)
    return tree


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.count = 0

    def read(self, root: yaml.Node) -> None:
        try:
            self.tree.data = self.value(root, (), ())
        except RecursionError:
            self.problem(root, (), "nested too deeply")

    def problem(self, node: yaml.Node, path: Path, text: str) -> None:
        self.tree.problems.append((_place(node), path, text))

    def value(self, node: yaml.Node, path: Path, above: tuple[int, ...]) -> Any:
        self.count += 1
        if self.count > _MAX_NODES:
            if self.count == _MAX_NODES + 1:
                self.problem(node, path, f"more than {_MAX_NODES} values: not a document for people")
            return Unclear()
        self.tree.places[path] = _place(node)
        if id(node) in above:
            self.problem(node, path, "an alias that contains itself")
            return Unclear()
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*path, index), above) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and (node.tag == _TEXT or node.tag in _KINDS):
            return self.scalar(node, path)
        self.problem(node, path, f"tag {node.tag!r} is not supported")
        return Unclear()

    def mapping(self, node: yaml.MappingNode, path: Path, above: tuple[int, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, path, "a key must be text")
            elif key.tag == "tag:yaml.org,2002:merge":
                self.problem(key, path, "merge keys (<<) are not supported: write the keys out")
            elif key.tag != _TEXT:
                kind = _KINDS.get(key.tag, f"tag {key.tag!r}")
                self.problem(key, path, f'key {key.value} is read as {kind} by YAML: quote it, "{key.value}"')
            elif key.value in found:
                first = self.tree.keys[(*path, key.value)]
                self.problem(key, (*path, key.value), f"a second {key.value!r}; the first is in line {first.line}")
            else:
                self.tree.keys[(*path, key.value)] = _place(key)
                found[key.value] = self.value(value, (*path, key.value), above)
        return found

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind = _KINDS.get(node.tag)
        self.tree.scalars[path] = Scalar(node.value, kind)
        try:
            match node.tag.rpartition(":")[2]:
                case "str":
                    return node.value
                case "null":
                    return None
                case "bool":
                    return SafeConstructor().construct_yaml_bool(node)
                case "int":
                    return SafeConstructor().construct_yaml_int(node)
                case "float":
                    return SafeConstructor().construct_yaml_float(node)
        except (ValueError, IndexError, KeyError, OverflowError, ConstructorError):
            self.problem(node, path, f"{node.value!r} is not {kind}")
        return Unclear()


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def dotted(path: Path) -> str:
    """``links[0].endpoints[1]``; the root is ``document``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "document"
