"""HTML from plain values: whatever is not :class:`Markup` is words, and is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hopscope.draw.svg import words
from hopscope.report.attachment import redacted

_VOID = ("meta", "br", "hr", "input")
_NO_NAME = re.compile("[^A-Za-z0-9_.-]+")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Inside = str | Markup | None
"""None is nothing."""


def tag(name: str, /, *inside: Inside, **attributes: str | bool | None) -> Markup:
    """A trailing underscore of an attribute's name falls away, others become hyphens; True is an attribute without a
    value, None and False are none."""
    told = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{words(redacted(str(value)))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{name}{told}>" + ("" if name in _VOID else f"{joined(inside)}</{name}>"))


def joined(parts: Iterable[Inside]) -> Markup:
    return Markup("".join(_inside(part) for part in parts if part is not None))


def _inside(part: str) -> str:
    return part if isinstance(part, Markup) else words(redacted(part))


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[Inside]],
    *,
    classes: Iterable[str | None] = (),
    stacked: bool = False,
) -> Markup:
    """``classes`` are those of the rows; ``stacked`` has the cells of a row below each other on a phone. What is wider
    than the screen scrolls by itself, by keyboard too."""
    named = [*classes]
    body = [
        tag("tr", *(tag("td", cell) for cell in row), class_=named[at] if at < len(named) else None)
        for at, row in enumerate(rows)
    ]
    whole = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(tag("th", each, scope="col") for each in head))),
        tag("tbody", *body),
        class_="stack" if stacked else None,
    )
    return tag("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def details(summary: Inside, *inside: Inside, open_: bool = False) -> Markup:
    return tag("details", tag("summary", summary), *inside, open=open_)


def code(text: str) -> Markup:
    return tag("code", text)


def listed(items: Iterable[Inside]) -> Markup:
    return tag("ul", *(tag("li", item) for item in items))


def anchor(text: str) -> str:
    """A name for ``id`` and ``href``, of harmless letters."""
    return _NO_NAME.sub("-", text).strip("-") or "x"
