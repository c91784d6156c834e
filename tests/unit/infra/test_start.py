"""A worker's start is short: it loads what it needs and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infra.apply.installation import Installation
from infra.keys import ensure_keys

#: What takes long to import and what no step needs: the database's driver, the command line, clients of other servers.
HEAVY = {"psycopg", "typer", "requests", "authlib", "httpx", "faust", "aiohttp", "jgo"}
PROGRAM = """
import sys
from pathlib import Path
import infra.run.worker, streams.worker
from infra.apply.installation import Installation
from infra.run.topology import step
step(sys.argv[1], Installation(Path(sys.argv[2])))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("step", ["intake", "household", "fan-out", "conversion"])
def test_a_step_loads_nothing_that_it_has_no_use_for(step: str, tmp_path: Path) -> None:
    """Up to the processor, ready to run, nothing of what takes long to import and isn't needed."""
    ensure_keys(Installation(tmp_path).key_file)
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, step, str(tmp_path)], check=True, capture_output=True, text=True
    )
    loaded = set(told.stdout.split())
    assert {"confluent_kafka", "pyarrow", "streams"} <= loaded
    assert not loaded & HEAVY


def test_a_worker_has_no_colours(tmp_path: Path) -> None:
    """Its log is JSON: structlog's part for terminals does without rich. Without servers it ends with that code."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "infra.run", "intake", "0"],
        check=False,
        capture_output=True,
        text=True,
        env={"MESH_HOME": str(tmp_path), "PATH": ""},
    )
    assert told.returncode == 10
    assert '"worker.no-servers"' in told.stdout
    assert "structlog.dev" in told.stderr
    assert "rich.console" not in told.stderr
