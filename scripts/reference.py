"""Writes docs/reference.md from the code: options, commands, fixtures, markers, hooks, checks, metrics, schemas.

    python scripts/reference.py            # writes it; a unit test fails where that would change it

Nothing is said here that the code does not say: texts are help texts, docstrings and field descriptions.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hopscope import cli, errors, plugin
from hopscope.checks import latency, placement
from hopscope.checks.expectation import standard
from hopscope.checks.tunnel import tunnel_checks
from hopscope.commands.schema import schema_of
from hopscope.plugin import markers, newhooks, options
from hopscope.wire import metrics

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"
LIMITS = "Cannot prove: "
"""How the last paragraph of a check's docstring begins."""

HEAD = """# Reference

Made from the code by `scripts/reference.py`; what it says is help texts, docstrings and descriptions of fields.
[index.md](index.md) has the pages that explain."""


def main() -> int:
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
    return 0


def page() -> str:
    """All of the page, ending with a newline."""
    parts = (
        HEAD, _options(), _markers(), _fixtures(), _hooks(), _commands(), _exit_codes(), _checks(), _metrics(),
        _schemas(),
    )  # fmt: skip
    return "\n\n".join(parts) + "\n"


class _Recorder:
    """Stands for pytest's parser, and keeps what is added to it."""

    def __init__(self) -> None:
        self.options: list[tuple[str, dict[str, Any]]] = []
        self.ini: list[tuple[str, str]] = []

    def getgroup(self, *_: str) -> _Recorder:
        return self

    def addoption(self, name: str, **given: Any) -> None:
        self.options.append((name, given))

    def addini(self, name: str, text: str, **_: Any) -> None:
        self.ini.append((name, text))


def _options() -> str:
    parser = _Recorder()
    options.add(parser)  # type: ignore[arg-type]
    keys = dict(parser.ini)
    rows = []
    for name, given in parser.options:
        key = given["dest"]
        metavar = given.get("metavar")
        rows.append((_code(f"{name} {metavar}" if metavar else name), _code(key) if key in keys else "", given["help"]))
    alone = [
        (_code(key), text) for key, text in parser.ini if key not in {given["dest"] for _, given in parser.options}
    ]
    return "\n\n".join(
        (
            "## Options of pytest",
            "An option wins over its key of the ini file.",
            _table(("option", "ini key", "what it is"), rows),
            "Keys alone:",
            _table(("ini key", "what it is"), alone),
        )
    )


def _markers() -> str:
    return "## Markers\n\n" + _table(("marker", "what it says"), [(_code(n), t) for n, t in markers.MARKERS.items()])


def _fixtures() -> str:
    rows = []
    for name in plugin.__all__:
        fixture = getattr(plugin, name)
        if not name.startswith("_"):
            scope = fixture._fixture_function_marker.scope
            rows.append((_code(name), scope, _first(inspect.getdoc(fixture) or "")))
    return "## Fixtures\n\n" + _table(("fixture", "scope", "what it is"), rows)


def _hooks() -> str:
    found = [(name, value) for name, value in vars(newhooks).items() if name.startswith("pytest_hopscope_")]
    rows = [
        (_code(f"{name}({', '.join(inspect.signature(value).parameters)})"), _flat(inspect.getdoc(value) or ""))
        for name, value in found
    ]
    return "## Hooks\n\nFor a `conftest.py` or a plugin of yours.\n\n" + _table(("hook", "what it is for"), rows)


def _commands() -> str:
    parts = ["## Commands"]
    for name, parser, text in _leaves(cli.parser(), ""):
        rows = []
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction | argparse._VersionAction):
                continue
            rows.append((_code(_spelt(action)), _flat(action.help or "")))
        table = ["", _table(("argument", "what it is"), rows)] if rows else []
        parts.append("\n".join((f"### {name}", "", f"{text[:1].upper()}{text[1:]}.", *table)))
    return "\n\n".join(parts)


def _leaves(parser: argparse.ArgumentParser, help_: str) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    """Every command that has none below it: its words, its parser, its help."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser.prog, parser, help_
    for action in below:
        texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, child in action.choices.items():
            yield from _leaves(child, texts.get(name, ""))


def _spelt(action: argparse.Action) -> str:
    metavar = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    shown = " ".join(metavar) if isinstance(metavar, tuple) else metavar
    if not action.option_strings:
        return {"?": f"[{shown}]", "*": f"[{shown}…]", "+": f"{shown}…", "...": f"{shown}…"}.get(
            str(action.nargs), shown
        )
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {shown}")


def _exit_codes() -> str:
    return "## Errors and exit codes\n\n" + _paragraphs(inspect.getdoc(errors) or "")


def _checks() -> str:
    parts = [
        "## Checks",
        "What each proves, and what it cannot. `trace().expect()` without names judges those on a chain,\n"
        "but for the last two, which a claim or a test asks for.",
    ]
    of_chains = [(check.name, type(check).__module__) for check in standard()]
    of_chains += [("placement", placement.__name__), ("budget", latency.__name__)]
    of_tunnels = [(check.name, type(check).__module__) for check in tunnel_checks()]
    for title, checks in (("On a chain", of_chains), ("On a tunnel", of_tunnels)):
        parts.append(f"### {title}")
        parts += [_check(name, module) for name, module in checks]
    return "\n\n".join(parts)


def _check(name: str, module: str) -> str:
    """A check's docstring under its name. ValueError where it does not say what it cannot prove."""
    text = inspect.getdoc(importlib.import_module(module)) or ""
    proves, found, limits = text.rpartition("\n" + LIMITS)
    if not found:
        raise ValueError(f"{module}: its docstring does not say what the check cannot prove ({LIMITS}…)")
    return f"#### {name}\n\n{_paragraphs(proves)}\n\n**{LIMITS.strip()}** {_words(_flat(limits))}"


def _metrics() -> str:
    rows = [
        (_code(name), _flat(inspect.getdoc(getattr(metrics, name)) or "")) for name in (*latency.METRICS, "wan_rtt")
    ]
    return "## Metrics\n\n" + _flat(inspect.getdoc(metrics) or "") + "\n\n" + _table(("metric", "what it is"), rows)


def _schemas() -> str:
    """The fields of each document, and of every object in it where it is first met."""
    parts: list[str] = []
    met: set[str] = set()
    for kind in ("sut", "topology", "inventory", "judgement"):
        schema = schema_of(kind)
        inner = schema.get("$defs", {})
        parts += [f"## Fields: {kind}", f"`hopscope schema {kind}` prints the JSON Schema."]
        if "properties" in schema:
            parts.append(_fields(schema, inner))
        for name, one in inner.items():
            if "properties" in one and name not in met:
                met.add(name)
                parts += [f"### {name}", *filter(None, [_words(_flat(one.get("description", "")))])]
                parts.append(_fields(one, inner))
    return "\n\n".join(parts)


def _fields(one: dict[str, Any], inner: dict[str, Any]) -> str:
    required = set(one.get("required", ()))
    told = any("description" in value for value in one["properties"].values())
    rows = []
    for key, value in one["properties"].items():
        default = "required" if key in required else _default(value)
        rows.append(
            (_code(key), _type(value, inner), default, *([_flat(value.get("description", ""))] if told else []))
        )
    return _table(("field", "type", "default", *(["what it is"] if told else [])), rows)


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    return "" if default in (None, "", [], {}) else _code(json.dumps(default))


def _type(value: Any, inner: dict[str, Any]) -> str:
    """A field's type in words; objects by the name of their own table."""
    if not isinstance(value, dict):
        return "any"
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return name if "properties" in inner[name] else _type(inner[name], inner)
    if "const" in value:
        return _code(str(value["const"]))
    if "enum" in value:
        return ", ".join(_code(str(one)) for one in value["enum"])
    for word in ("anyOf", "oneOf"):
        if word in value:
            return " or ".join(dict.fromkeys(_type(one, inner) for one in value[word]))
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}), inner)}"
    if isinstance(value.get("additionalProperties"), dict):
        return f"mapping to {_type(value['additionalProperties'], inner)}"
    kinds = value.get("type", "any")
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _paragraphs(text: str) -> str:
    """A docstring as markdown: its columns and examples, which hang on two or more blanks, stay as they are."""
    parts = []
    for part in re.split(r"\n\s*\n", text.strip()):
        laid_out = part.startswith("    ") or re.search(r"^\S+(?: \S+)* {2,}\S", part, re.MULTILINE)
        if laid_out and not part.startswith("    "):
            before, columns = _split(part.splitlines())
            parts += [_words(" ".join(before))] if before else []
            parts.append("\n".join("    " + line.replace("``", "") for line in columns))
        else:
            parts.append(part if laid_out else _words(_flat(part)))
    return "\n\n".join(parts)


def _split(lines: list[str]) -> tuple[list[str], list[str]]:
    """Prose before the first line that has columns, and the rest."""
    at = next(number for number, line in enumerate(lines) if re.match(r"\S+(?: \S+)* {2,}\S", line))
    return lines[:at], lines[at:]


def _words(text: str) -> str:
    return re.sub(r":func:`(\w+)`", r"`\1`", text).replace("``", "`")


def _first(text: str) -> str:
    return _flat(text.split("\n\n")[0])


def _flat(text: str) -> str:
    return " ".join(text.split())


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(("| " + " | ".join(head) + " |", "|" + "---|" * len(head), *_lines(rows)))


def _lines(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in rows:
        yield "| " + " | ".join(_words(cell).replace("|", "\\|") for cell in row) + " |"


if __name__ == "__main__":
    sys.exit(main())
