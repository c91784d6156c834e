"""After a change of the code, a worker that dies came back with the old code: the prewarmed process had loaded it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.attacks.installed_copy import InstalledCopy

pytestmark = pytest.mark.unit

#: Does what the supervisor does: prewarm a process; change the code; give the process a slot, or start one cold. The
#: exit code of a worker without servers tells which code it has.
SUPERVISOR = """
import subprocess, sys, time
from pathlib import Path
from infra.run import prewarmed
from infra.run.slots import Slot

prewarmed.IDLE_BEFORE_PREWARM_S = 0.0
loaded = Path("loaded")

def start(command):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

worker = prewarmed.PrewarmedWorker(start)
worker.ensure()
deadline = time.monotonic() + 60
while not loaded.exists() and time.monotonic() < deadline:
    time.sleep(0.02)
assert loaded.exists()
if sys.argv[1] == "changed":
    source = Path("code/infra/run/worker.py")
    source.write_text(source.read_text().replace("UNAVAILABLE = 10", "UNAVAILABLE = 99"))
process = worker.assign(Slot("household", 0), Path("household.log"))
print("prewarmed" if process else "cold")
process = process or start([sys.executable, "-m", "infra.run", "household", "0"])
print(process.wait(60))
"""


@pytest.fixture
def copy(tmp_path: Path) -> InstalledCopy:
    """Return a copy whose prewarmed process writes a file when it has loaded everything."""
    copy = InstalledCopy.create(tmp_path)
    done = '        importlib.import_module(name)\n    Path("loaded").touch()\n'
    copy.replace("infra/run/prewarmed.py", "        importlib.import_module(name)\n", done)
    return copy


def run_supervisor(copy: InstalledCopy, case: str) -> subprocess.CompletedProcess[str]:
    """Run the program in the copy, in a home without servers."""
    process = copy.run("-c", SUPERVISOR, case, settings={"MESH_HOME": str(copy.folder / "home")})
    assert process.returncode == 0, process.stderr
    return process


def test_a_worker_never_comes_back_with_the_code_of_before(copy: InstalledCopy) -> None:
    """The prewarmed process is ended, and the worker starts with what is installed now."""
    assert run_supervisor(copy, "changed").stdout.split() == ["cold", "99"]


def test_the_prewarmed_process_is_used_while_the_code_is_the_same(copy: InstalledCopy) -> None:
    """Otherwise every restart would be slow."""
    assert run_supervisor(copy, "same").stdout.split() == ["prewarmed", "10"]
