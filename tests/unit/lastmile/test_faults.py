"""The catalogue of faults: enough of them, well formed, and each with a cause that exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from hopscope.errors import UsageError
from hopscope.lastmile import causes, faults


@pytest.mark.parametrize(("files", "least"), [("*.yaml", 80), ("held-out/*.yaml", 40)])
def test_every_fault_names_a_cause_that_some_module_declares(files: str, least: int) -> None:
    known = {cause for module in causes.modules() for cause in module.CAUSES}
    catalogue = faults.load(files=files)
    assert len(catalogue) >= least
    assert not {cause for fault in catalogue.values() for cause in fault.causes} - known


def test_a_misspelt_key_is_refused_with_the_fault(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("- {name: odd, cause: route, repairabel: true}\n")
    with pytest.raises(UsageError, match=r"one.yaml: fault 'odd': unknown \['repairabel'\]"):
        faults.load(tmp_path)
