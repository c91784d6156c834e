"""A new key in front of a domain's list: 165 people became 172 rows, two active rows for one person, and no word."""

from __future__ import annotations

import base64
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from infra.apply.installation import Installation
from infra.local.home import write_json
from processors.codes import KEY_BYTES
from tests.integration.cluster import IntegrationCluster, only_settings
from tests.integration.limits.conftest import with_secrets

pytestmark = [pytest.mark.integration, pytest.mark.proof]

NOT_CONFIGURED = 78
TIMEOUT_S = 60.0
Keys = dict[str, list[str]]


def new_key() -> str:
    """Return a key as the key file has it."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def in_front(keys: Keys) -> None:
    """Do what somebody does who wants a domain to have other codes."""
    keys["local-tax"].insert(0, new_key())


def behind(keys: Keys) -> None:
    """Add a key that only decrypts."""
    keys["dead-letter"].append(new_key())


def another(keys: Keys) -> None:
    """Replace a key."""
    keys["mesh"] = [new_key()]


def missing(keys: Keys) -> None:
    """Remove a key, which `mesh apply` would make again."""
    del keys["local-tax"]


@pytest.fixture
def key_file(applied: IntegrationCluster) -> Iterator[Path]:
    """Yield the key file of an installation that has used its keys; put it back afterwards."""
    file = applied.installation.key_file
    before = file.read_bytes()
    yield file
    file.write_bytes(before)


def change(file: Path, how: Callable[[Keys], None]) -> None:
    """Change the keys in the key file."""
    content = orjson.loads(file.read_bytes())
    how(content["keys"])
    write_json(file, content)


def worker(step: str) -> subprocess.CompletedProcess[str]:
    """Run a worker as the supervisor does."""
    command = [sys.executable, "-m", "infra.run", step, "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.parametrize("how", [in_front, behind, another, missing])
def test_apply_refuses_other_keys(
    cluster: IntegrationCluster, key_file: Path, how: Callable[[Keys], None]
) -> None:
    """One sentence names the domain; the key file stays as it is, and no key is made."""
    change(key_file, how)
    changed = key_file.read_bytes()
    process = cluster.mesh("apply")
    assert process.returncode == 2, process.stdout
    assert len(process.stderr.splitlines()) == 1
    assert "restore the key file" in process.stderr
    assert key_file.read_bytes() == changed


@pytest.mark.parametrize(
    ("how", "step"),
    [
        *((in_front, step) for step in ("intake", "household", "fan-out", "conversion", "sink")),
        *((missing, step) for step in ("intake", "conversion")),
    ],
)
def test_no_worker_starts_with_other_keys(key_file: Path, how: Callable[[Keys], None], step: str) -> None:
    """It ends at once, with the code for a wrong key file, after which the supervisor gives it up.

    A worker that only seals dead letters needs no key of a domain, but it doesn't start with other ones either.
    """
    change(key_file, how)
    process = worker(step)
    assert process.returncode == NOT_CONFIGURED, process.stdout
    lines = [orjson.loads(line) for line in process.stdout.splitlines() if line.startswith("{")]
    assert [line for line in lines if "local-tax" in line.get("reason", "")]


@pytest.mark.parametrize("command", [["run", "conversion"], ["dlq", "show", "conversion/0"]])
def test_no_command_uses_other_keys(cluster: IntegrationCluster, key_file: Path, command: list[str]) -> None:
    """It exits with 2 after one sentence."""
    change(key_file, in_front)
    process = cluster.mesh(*command)
    assert process.returncode == 2
    assert "restore the key file" in process.stderr
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.usefixtures("key_file")
def test_another_machine_can_not_begin_with_keys_of_its_own(
    cluster: IntegrationCluster, tmp_path: Path
) -> None:
    """Without the key file of the installation, `mesh apply` elsewhere would make new keys for the same servers."""
    with only_settings({**with_secrets(cluster, tmp_path, {}), "MESH_HOME": str(tmp_path / "elsewhere")}):
        process = cluster.mesh("apply")
    assert process.returncode == 2, process.stdout
    assert "restore the key file" in process.stderr
    assert not Installation(tmp_path / "elsewhere").key_file.exists()


@pytest.mark.usefixtures("key_file")
def test_the_keys_in_use_are_accepted(cluster: IntegrationCluster) -> None:
    """Nothing has changed, so a second `mesh apply` has nothing to do."""
    process = cluster.mesh("apply")
    assert process.returncode == 0, process.stderr
    assert "nothing to change" in process.stdout
