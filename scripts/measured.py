"""Puts what a benchmark has printed into the documentation: tables in docs/measurements.md, the chart in the README.

    python scripts/measured.py FILE.jsonl "2026-11-24, no other work"

The file has lines of bench/datapath.py, of bench/congestion.py or of both; the words say when and beside what. A table
lies between the two comments that bear its name, and all between them is replaced. A table whose benchmark has no line
in the file stays as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hopscope.draw.spread import Spread, draw

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, CHART = DOCS / "measurements.md", DOCS / "datapath.svg"
TITLES = {
    "kernel": "plain TCP, kernel forwarding",
    "fast-open": "TCP Fast Open, second connection",
    "haproxy": "haproxy at ClientNIC",
    "synproxy": "nft SYNPROXY at ClientNIC",
}
NONE = "–"

Line = Mapping[str, Any]


def main(argv: Sequence[str]) -> int:
    if len(argv) != 2:
        print(f"usage: measured.py FILE.jsonl WORDS\n\n{__doc__}", file=sys.stderr)
        return 64
    lines = [json.loads(text) for text in Path(argv[0]).read_text().splitlines()]
    page = PAGE.read_text()
    for name, told in tables(lines).items():
        page = filled(page, name, f"{argv[1]}.\n\n{told}")
    PAGE.write_text(page)
    if picture := chart(lines):
        CHART.write_text(picture)
    return 0


def filled(page: str, name: str, told: str) -> str:
    """The page with a region replaced. ValueError where it has no such region."""
    begin, end = f"<!-- {name}: from here -->", f"<!-- {name}: to here -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no region {name} in the page")
    return f"{before}{begin}\n{told}\n{end}{after}"


def tables(lines: Iterable[Line]) -> dict[str, str]:
    """By region, those of which there are lines."""
    rows = {(line["name"], line["variant"]): line for line in lines if line["name"] != "absent"}
    why = {line["variant"]: line["why"] for line in lines if line["name"] == "absent"}
    found = {}
    rtts = sorted({_rtt(variant) for name, variant in rows if name == "ttfb_p50_ms"}, key=_ms)
    if rtts:
        found["datapath"] = "\n\n".join([*(_latency(rows, rtt) for rtt in rtts), *_bulk(rows), *_absent(why)])
    if any(name.endswith("_by_control") for name, _ in rows):
        found["congestion"] = "\n\n".join(_controls(rows))
    return found


def _latency(rows: Mapping[tuple[str, str], Line], rtt: str) -> str:
    ways = [variant.removesuffix(f"/{rtt}") for name, variant in rows if name == "ttfb_p50_ms" and _rtt(variant) == rtt]

    def cell(name: str, way: str, unit: str) -> str:
        line, most = rows.get((f"{name}_p50_{unit}", f"{way}/{rtt}")), rows.get((f"{name}_p99_{unit}", f"{way}/{rtt}"))
        return NONE if line is None or most is None else f"{number(line['value'])} / {number(most['value'])}"

    def one(name: str, way: str) -> str:
        line = rows.get((name, f"{way}/{rtt}"))
        return NONE if line is None else spread(line)

    def share(way: str) -> str:
        line = rows[("connections_completed", f"{way}/{rtt}")]
        return f"{line['value']:,.0f} of {line['baseline']:,.0f}"

    body = [
        [
            _title(way), cell("syn_to_synack", way, "us"), cell("send_unlock", way, "ms"), cell("ttfb", way, "ms"),
            one("rtts_saved", way), cell("fct", way, "ms"), share(way),
        ]
        for way in ways
    ]  # fmt: skip
    head = [
        f"round trip {rtt.replace('ms', ' ms')}, p50 / p99", "SYN to SYN-ACK, µs", "first data out, ms",
        "first byte in, ms", "saved, RTT", "all of it, ms", "completed",
    ]  # fmt: skip
    return table(head, body)


def _bulk(rows: Mapping[tuple[str, str], Line]) -> list[str]:
    columns = {
        "upload_vs_kernel": "up, Gbit/s", "throughput_vs_kernel": "down, Gbit/s",
        "connection_rate_vs_kernel": "connections/s", "cpu_us_per_connection": "processor, µs a connection",
        "memory_bytes_per_flow": "processes, bytes a flow", "kernel_bytes_per_flow": "kernel, bytes a flow",
        "bpf_maps_mib": "BPF maps, MiB",
    }  # fmt: skip
    ways = list(dict.fromkeys(variant for name, variant in rows if name in columns))

    def cell(name: str, way: str) -> str:
        line = rows.get((name, way))
        if line is None:
            return NONE
        return number(line["value"]) + (f" ({line['ratio']:.2f})" if line["ratio"] is not None else "")

    body = [[_title(way), *(cell(name, way) for name in columns)] for way in ways]
    return [table(["no delay; in brackets: of plain, more is better", *columns.values()], body)] if body else []


def _absent(why: Mapping[str, str]) -> list[str]:
    return ["\n".join(f"- not measured: {_title(way)}: {told}" for way, told in why.items())] if why else []


def _controls(rows: Mapping[tuple[str, str], Line]) -> list[str]:
    """A row for each round trip, direction and control; a column for each way."""
    seen = {variant.rsplit("/", 2)[0] for name, variant in rows if name.endswith("_by_control")}
    ways = sorted(seen, key=lambda way: (way != "kernel", way))
    keys = dict.fromkeys(
        (_rtt(variant), name.removesuffix("_by_control"), variant.rsplit("/", 2)[1])
        for name, variant in rows if name.endswith("_by_control")
    )  # fmt: skip
    body = [
        [f"{rtt.replace('ms', ' ms')}, {direction}, {control}",
         *(_rate(rows.get((f"{direction}_by_control", f"{way}/{control}/{rtt}"))) for way in ways)]
        for rtt, direction, control in sorted(keys, key=lambda key: (_ms(key[0]), key[1] != "upload"))
    ]  # fmt: skip
    told = [table(["Gbit/s (quartiles)", *map(_title, ways)], body)]
    spans = dict.fromkeys(
        (_rtt(variant), name.split("_")[1]) for name, variant in rows if re.fullmatch(r"bbr_\w+_before_10_s", name)
    )
    later = [
        [f"{rtt.replace('ms', ' ms')}, {direction}, {when} 10 s",
         *(_rate(rows.get((f"bbr_{direction}_{when}_10_s", f"{way}/{rtt}"))) for way in ways)]
        for rtt, direction in spans for when in ("before", "after")
    ]  # fmt: skip
    return [*told, table(["bbr alone, Gbit/s of a second (quartiles)", *map(_title, ways)], later)] if later else told


def _rate(line: Line | None) -> str:
    if line is None:
        return NONE
    return spread(line) + (f", {line['ratio']:.2f} of plain" if line["ratio"] is not None else "")


def table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def spread(line: Line) -> str:
    low, high = line["spread"]
    return f"{number(line['value'])} ({number(low)} .. {number(high)})"


def number(value: float) -> str:
    """Three digits that mean something."""
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.1f}"
        if size >= 10
        else f"{value:.3f}"
        if size < 1
        else f"{value:.2f}"
    )


def chart(lines: Iterable[Line]) -> str:
    """When the first byte of the answer comes, at the shortest round trip measured; empty without such lines."""
    rows = {(line["name"], line["variant"]): line for line in lines}
    rtt = min((_rtt(variant) for name, variant in rows if name == "ttfb_p50_ms"), key=_ms, default="")
    spreads = []
    for (name, variant), line in rows.items():
        if name == "ttfb_p50_ms" and _rtt(variant) == rtt:
            least, most = (rows[f"ttfb_p{share}_ms", variant]["value"] for share in ("01", "99"))
            way = variant.removesuffix(f"/{rtt}")
            spreads.append(Spread(_title(way), (least, line["spread"][0], line["value"], line["spread"][1], most)))
    title = f"From the SYN to the first byte of the answer, round trip {rtt.replace('ms', ' ms')}"
    return draw(title, spreads, name="datapath") if spreads else ""


def _title(way: str) -> str:
    return TITLES.get(way, way.replace("/", ", "))


def _rtt(variant: str) -> str:
    return variant.rpartition("/")[2]


def _ms(rtt: str) -> float:
    return float(rtt.removesuffix("ms") or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
