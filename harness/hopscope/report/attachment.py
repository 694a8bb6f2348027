"""What is attached to a test in a report: a body or a file, bounded, and without anything secret."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PCAP = ("application/vnd.tcpdump.pcap", "pcap")
PCAPNG = ("application/x-pcapng", "pcapng")
TEXT = ("text/plain", "txt")
MARKDOWN = ("text/markdown", "md")
CSV = ("text/csv", "csv")
JSON = ("application/json", "json")
SVG = ("image/svg+xml", "svg")

#: Of a log that is cut, this share is from its beginning, where programs say how they are set.
HEAD_SHARE = 4

_PEM = re.compile(r"-----BEGIN [^-\n]*KEY[^-\n]*-----.*?(?:-----END [^-\n]*-----|\Z)", re.DOTALL | re.IGNORECASE)
_NAMES = "password|passwd|passphrase|secret|token|authorization|(?:api|access|private|secret)[_-]?key"
_NAME = re.compile(_NAMES, re.IGNORECASE)
_VALUE = r"""("[^"\n]*"|'[^'\n]*'|(?:(?:bearer|basic)\s+)?[^\s,;"'}]+)"""
_NAMED = re.compile(rf"""([\w.-]*(?:{_NAMES})s?(?![a-z])[\w.-]*["']?\s*[:=]\s*){_VALUE}""", re.IGNORECASE)


@dataclass(frozen=True)
class Attachment:
    """``body`` is the content, or the file that has it."""

    name: str
    kind: tuple[str, str]
    """MIME type, and the extension of the file."""
    body: bytes | Path

    @property
    def size(self) -> int:
        return self.body.stat().st_size if isinstance(self.body, Path) else len(self.body)


def text(name: str, content: str, kind: tuple[str, str] = TEXT, *, limit: int | None = None) -> Attachment:
    """Text without secrets; of what is longer than ``limit`` bytes, the beginning and the end."""
    return Attachment(name, kind, bounded(redacted(content), limit).encode())


def table(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Attachment:
    """Comma-separated values, which reports show as a table."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text(name, out.getvalue(), CSV)


def redacted(content: str) -> str:
    """The text without private keys, passwords and tokens; it says where there was one."""
    content = _PEM.sub("(a private key, left out of the report)", content)
    if not _NAME.search(content):  # a log of 10 MB takes a minute otherwise
        return content
    return _NAMED.sub(lambda found: f"{found[1]}(left out of the report)", content)


def bounded(content: str, limit: int | None) -> str:
    """At most about ``limit`` bytes; what is left out in the middle is said."""
    data = content.encode()
    if limit is None or len(data) <= limit:
        return content
    head = limit // HEAD_SHARE
    start, end = data[:head].decode(errors="ignore"), data[head - limit :].decode(errors="ignore")
    return f"{start}\n... {len(data) - limit:,} of {len(data):,} bytes left out ...\n{end}"
