"""Offloads of one port: checksums and segmentation, which make captures show what never was on a wire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hopscope.hosts.executor import Executor
from hopscope.lab.setting import read_back

#: What ``ethtool -K`` calls them, and what ``ethtool -k`` calls the same (ethtool(8)).
FEATURES = {
    "tx": "tx-checksumming",
    "rx": "rx-checksumming",
    "sg": "scatter-gather",
    "tso": "tcp-segmentation-offload",
    "gso": "generic-segmentation-offload",
    "gro": "generic-receive-offload",
    "lro": "large-receive-offload",
}
CORRECTNESS = {"tx": False, "tso": False, "gso": False, "gro": False}


@dataclass
class Offload:
    """``features`` by their short names, on or off; the default is what a correctness run needs."""

    host: str
    port: str
    features: dict[str, bool] = field(default_factory=lambda: dict(CORRECTNESS))
    _before: dict[str, bool] | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"offload {self.port}"

    @property
    def wanted(self) -> str:
        return _text(self.features)

    def read(self, executor: Executor) -> str:
        return _text(self._seen(executor, self.features))

    def apply(self, executor: Executor) -> None:
        # Turning checksums off turns segmentation and scatter-gather off with them, so all are remembered.
        self._before = self._seen(executor, FEATURES)
        self._write(executor, self.features)

    def verify(self, executor: Executor) -> str:
        return read_back(self, executor)

    def undo(self, executor: Executor) -> None:
        if self._before is not None:
            self._write(executor, self._before)

    def _seen(self, executor: Executor, features: Iterable[str]) -> dict[str, bool]:
        listed = parse_features(executor.run(["ethtool", "-k", self.port]).text)
        return {feature: listed[FEATURES[feature]] for feature in features if FEATURES[feature] in listed}

    def _write(self, executor: Executor, features: dict[str, bool]) -> None:
        words = [word for feature, on in features.items() for word in (feature, "on" if on else "off")]
        # ethtool fails when one of several features is fixed, and may still have changed the others. Read back.
        executor.run(["ethtool", "-K", self.port, *words], check=False)


def parse_features(text: str) -> dict[str, bool]:
    """The lines ``name: on|off [fixed]`` of ``ethtool -k``."""
    pairs = (line.strip().partition(": ") for line in text.splitlines())
    return {name: state.split()[0] == "on" for name, _, state in pairs if state.split()[:1] in (["on"], ["off"])}


def _text(features: dict[str, bool]) -> str:
    return " ".join(f"{name}={'on' if on else 'off'}" for name, on in sorted(features.items()))
