"""The tutorial and the how-to page from their first line to their last, as a reader types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.pages import DOCS, blocks

pytestmark = [pytest.mark.integration, pytest.mark.nightly, pytest.mark.lab_requires("tun", "socat")]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", ["tutorial.md", "how-to.md"])
def test_a_page_goes_as_it_says(tmp_path, page):
    place = tmp_path
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"PYTEST_ADDOPTS": "-p no:cacheprovider"}
    labs: list[tuple[Path, str]] = []
    try:
        for block in blocks(DOCS / page):
            if block.file is not None:
                (place / block.file).write_text(block.text)
            for command in block.commands:
                if command.argv[0] == "cd":
                    place /= command.argv[1]
                    continue
                if command.argv[:3] == ("hopscope", "lab", "up"):
                    labs.append((place, command.argv[command.argv.index("--name") + 1]))
                ended = subprocess.run(
                    command.argv, cwd=place, env=environment, capture_output=True, text=True, timeout=180, check=False
                )
                assert ended.returncode == command.ends, f"{command}\n{ended.stdout}{ended.stderr}"
    finally:
        for where, name in labs:  # where all went well they are down already, and it says so
            argv = ["hopscope", "lab", "down", name]
            subprocess.run(argv, cwd=where, env=environment, capture_output=True, timeout=60, check=False)
