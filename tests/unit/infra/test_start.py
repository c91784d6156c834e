"""A worker starts fast, because it loads only the modules that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.apply.installation import Installation
from infra.keys import ensure_keys

#: Packages that take long to import and that no step needs: database driver, command line, clients of other servers.
HEAVY = {"psycopg", "typer", "requests", "authlib", "httpx", "faust", "aiohttp", "jgo"}
PROGRAM = """
import sys
from pathlib import Path
import infra.run.worker, streams.worker
from infra.apply.installation import Installation
from infra.run.topology import build_step
build_step(sys.argv[1], Installation(Path(sys.argv[2])))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("step", ["intake", "household", "fan-out", "conversion"])
def test_a_step_loads_no_heavy_package(step: str, tmp_path: Path) -> None:
    """A step with its processor is built without importing any of them."""
    ensure_keys(Installation(tmp_path).key_file)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, step, str(tmp_path)], check=True, capture_output=True, text=True
    )
    loaded = set(process.stdout.split())
    assert {"confluent_kafka", "pyarrow", "streams"} <= loaded
    assert not loaded & HEAVY


def test_a_worker_does_not_load_rich(tmp_path: Path) -> None:
    """Importing rich would delay each start. Without servers the worker ends with exit code 10."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "infra.run", "intake", "0"],
        check=False,
        capture_output=True,
        text=True,
        env={"MESH_HOME": str(tmp_path), "PATH": ""},
    )
    assert process.returncode == 10
    assert '"worker.no-servers"' in process.stdout
    assert "structlog.dev" in process.stderr
    assert "rich.console" not in process.stderr
