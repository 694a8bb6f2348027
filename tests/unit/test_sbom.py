"""The bill of materials has all that is pinned, with its hashes, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "scripts" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_line_that_pins_is_a_component(sbom: ModuleType) -> None:
    bill = sbom.bill(ROOT)
    pinned = [line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]
    names = {each["name"] for each in bill["components"]}
    assert len(pinned) > 50
    assert len(bill["components"]) == len(pinned)
    assert {"numpy", "pytest", "paramiko"} <= names
    assert all(each["hashes"] for each in bill["components"])
    assert bill["metadata"]["component"]["name"] == "hopscope"


def test_a_pin_with_extras_and_a_marker_is_read(sbom: ModuleType) -> None:
    lock = f"Foo_Bar[x,y]==1.0.post1 ; python_version < '3.12' \\\n    --hash=sha256:{'a' * 64} \\\n    # via b==2\n"
    (one,) = sbom.components(lock)
    assert (one["purl"], one["version"]) == ("pkg:pypi/foo-bar@1.0.post1", "1.0.post1")
    assert one["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
