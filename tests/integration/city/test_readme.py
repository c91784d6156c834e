"""The commands of the README, run as one script in an empty folder."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import IntegrationCluster

ROOT = Path(__file__).parents[3]
#: The files of a checkout that the commands need.
NEEDED_FILES = ("Makefile", "requirements.lock")
SCRIPT_TIMEOUT_S = 360.0


def script() -> str:
    """Return the commands of section "Day by day"."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = re.search(r"## Day by day\n\n((?:    .*\n)+)", text)
    assert section
    return section[1]


@pytest.mark.proof
def test_the_commands_of_the_readme_succeed(cluster: IntegrationCluster, tmp_path: Path) -> None:
    """Every command succeeds; afterwards the workers and servers are stopped."""
    cluster.reset()
    for name in NEEDED_FILES:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    lines = "set -eu\n" + script() + 'test -n "$MESH_DATABASE_URL"\n'
    process = subprocess.run(
        ["bash", "-c", lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert '"complete"' in process.stdout
    assert not any(server.running for server in cluster.stack.status())
