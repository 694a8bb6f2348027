"""A cause with its evidence, and what would mend it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from hopscope.lab.setting import Setting

Confidence = Literal["proven", "likely", "possible"]
AREAS = ("firewall", "routes", "kernel parameters", "captures", "MTU", "other filters")


@dataclass(frozen=True)
class Finding:
    """``explains`` names the probes that failed for it. ``settings`` are one group, empty where nothing that a host can
    be told would help: ``remedy`` says then what would. ``search`` asks for the largest MTU that passes first."""

    cause: str
    host: str
    area: str
    summary: str
    evidence: tuple[str, ...]
    confidence: Confidence = "proven"
    settings: tuple[Setting, ...] = ()
    remedy: str = ""
    search: Literal["", "tunnel", "underlay"] = ""
    explains: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return self.cause, self.host, self.summary

    def merged(self, other: Self) -> Self:
        """The same cause, seen by other probes too."""
        names = {setting.name for setting in self.settings}
        more = tuple(setting for setting in other.settings if setting.name not in names)
        return replace(
            self,
            evidence=tuple(dict.fromkeys(self.evidence + other.evidence)),
            explains=tuple(dict.fromkeys(self.explains + other.explains)),
            settings=self.settings + more,
        )

    def document(self) -> dict[str, Any]:
        return {
            "cause": self.cause, "host": self.host, "area": self.area, "summary": self.summary,
            "confidence": self.confidence, "evidence": list(self.evidence), "explains": list(self.explains),
            "repair": [f"{each.host}: {each.name} = {each.wanted}" for each in self.settings], "remedy": self.remedy,
            "search": self.search,
        }  # fmt: skip


def told_of(host: str, drop: dict[str, Any]) -> str:
    """A record of drop reasons as a line of evidence."""
    return f"the kernel of {host} dropped it: {drop['reason']} in {drop['function']}, device {drop['dev'] or 'none'}"
