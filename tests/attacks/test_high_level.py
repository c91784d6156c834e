"""The high level, with a system of that level in a package of its own: who reads everything learns no secret."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
CHECKS = ("tests/high_level/rules_checks.py", "tests/high_level/sealing_checks.py")
#: So many checks there are at least; none may be left out unnoticed.
CHECKS_MIN = 23


@pytest.mark.timeout(300)
def test_a_system_of_the_high_level() -> None:
    """All checks pass in a process in which the package is installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *CHECKS]
    path = str(ROOT / "tests" / "high_level" / "package")
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5_000:]
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed is not None
    assert int(passed[1]) >= CHECKS_MIN
    assert "skipped" not in result.stdout
