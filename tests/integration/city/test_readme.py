"""What the README has one type, typed: as one script, in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cluster import IntegrationCluster

ROOT = Path(__file__).parents[3]
#: What a checkout has that the commands are typed in.
SEEN = ("Makefile", "requirements.lock")
SCRIPT_TIMEOUT_S = 360.0


def script() -> str:
    """The lines below "Day by day", as they stand."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(r"## Day by day\n\n((?:    .*\n)+)", text)
    assert found
    return found[1]


@pytest.mark.proof
def test_a_day_as_the_readme_has_it(place: IntegrationCluster, tmp_path: Path) -> None:
    """Every line ends well, one after the other; afterwards the workers and servers are down."""
    place.forget()
    for name in SEEN:
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    lines = "set -eu\n" + script() + 'test -n "$MESH_DATABASE_URL"\n'
    ended = subprocess.run(
        ["bash", "-c", lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert '"complete"' in ended.stdout
    assert not any(server.running for server in place.stack.status())
