"""SVG as text: elements, escaped words, numbers that come out the same everywhere.

One style serves every picture. It is for light and dark (``prefers-color-scheme``, which holds in an ``<img>`` too) and
for paper; what colour tells, dashes tell as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 does not allow in a document, and the controls that it discourages."""

STYLE = """
.hs{font:11px system-ui,"DejaVu Sans",sans-serif;fill:#1d2733}
.hs .paper{fill:#fff}.hs .title{font-size:15px;font-weight:700}.hs .note{fill:#5b6673}.hs .strong{font-weight:700}
.hs .lane{stroke:#8a94a0}.hs .box{fill:#eef2f6;stroke:#8a94a0}.hs .grid{stroke:#e4e8ed}.hs .edge{stroke:#1d2733}
.hs .arrow,.hs .curve{fill:none;stroke-width:1.7}.hs .marked{stroke-width:3.4}
.hs .on{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
.hs .real{stroke:#0b67b2}.hs .spoofed{stroke:#b8500a;stroke-dasharray:8 4}
.hs .translated{stroke:#0a7d55;stroke-dasharray:2 3}.hs .lost{stroke:#c4161c;stroke-dasharray:5 4}
.hs .dim{stroke:#8a94a0;stroke-dasharray:4 4}.hs .area{stroke:none;fill-opacity:.25}
.hs text.real,.hs .head.real,.hs .area.real{fill:#0b67b2}
.hs text.spoofed,.hs .head.spoofed,.hs .area.spoofed{fill:#b8500a}
.hs text.translated,.hs .head.translated{fill:#0a7d55}.hs text.lost,.hs .head.lost,.hs .area.lost{fill:#c4161c}
.hs .head{stroke:none}.hs text:not(.on){stroke:none}.hs text.on{stroke:#fff}
@media screen and (prefers-color-scheme:dark){
.hs{fill:#e6ebf1}.hs .paper{fill:#14191f}.hs .note{fill:#a3aeba}.hs .lane,.hs .dim{stroke:#77818d}
.hs .box{fill:#232b34;stroke:#77818d}.hs .grid{stroke:#29313a}.hs .edge{stroke:#e6ebf1}.hs text.on{stroke:#14191f}
.hs .real{stroke:#6cb8ff}.hs .spoofed{stroke:#ff9e57}.hs .translated{stroke:#4fd6a4}.hs .lost{stroke:#ff7b80}
.hs text.real,.hs .head.real,.hs .area.real{fill:#6cb8ff}
.hs text.spoofed,.hs .head.spoofed,.hs .area.spoofed{fill:#ff9e57}
.hs text.translated,.hs .head.translated{fill:#4fd6a4}.hs text.lost,.hs .head.lost,.hs .area.lost{fill:#ff7b80}
}
"""


def number(value: float) -> str:
    """At most one decimal, no ``-0``: a picture is the same on every machine."""
    told = f"{value:.1f}".removesuffix(".0")
    return "0" if told == "-0" else told


def words(text: str) -> str:
    """Text as it may stand in an element or an attribute: what could be markup is escaped, controls are replaced."""
    return escape(_CONTROL.sub("\ufffd", text))


def element(tag: str, *inside: str, **attributes: str | float) -> str:
    """``inside`` is markup already. A trailing underscore of a name falls away, other underscores become hyphens."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{words(value) if isinstance(value, str) else number(value)}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{told}>{''.join(inside)}</{tag}>" if inside else f"<{tag}{told}/>"


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(
    x: float, y: float, told: str, class_: str = "", *, anchor: str = "start", turned: float = 0.0, detail: str = ""
) -> str:
    """``turned``: degrees, clockwise, around its own point; ``detail`` is shown to who points at it."""
    more = {"class_": class_} if class_ else {}
    if anchor != "start":
        more["text_anchor"] = anchor
    if turned:
        more["transform"] = f"rotate({number(turned)} {number(x)} {number(y)})"
    hidden = [element("title", words(detail))] if detail else []
    return element("text", words(told), *hidden, x=x, y=y, **more)


def picture(
    width: float, height: float, body: Iterable[str], *, title: str, description: str, name: str, styled: bool = True
) -> str:
    """The whole document. ``name`` makes its ids unique on a page; ``styled`` is false where the page has the style."""
    head = [
        element("title", words(title), id=f"{name}-t"),
        element("desc", words(description), id=f"{name}-d"),
        *([element("style", STYLE)] if styled else []),
        element("rect", width="100%", height="100%", class_="paper"),
    ]
    return element(
        "svg", *(f"\n{part}" for part in (*head, *body)), "\n",
        xmlns="http://www.w3.org/2000/svg", class_="hs", viewBox=f"0 0 {number(width)} {number(height)}", width=width,
        height=height, role="img", aria_labelledby=f"{name}-t {name}-d",
    )  # fmt: skip
