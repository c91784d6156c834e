"""The environment: given addresses or the local stack, and a clear word where there is neither."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.environment import Environment
from infra.errors import NoEnvironmentError
from infra.local.cli import exports
from infra.local.secrets import Secrets


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Servers of an environment's own, by MESH_* settings; the file of its passwords."""
    file = tmp_path / "secrets.json"
    Secrets(file).ensure(["admin", "apply", "auditor", "local-tax", "local_tax"])
    for name, value in {
        "MESH_SECRETS": str(file),
        "MESH_KAFKA_BOOTSTRAP": "broker.example:9093",
        "MESH_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "MESH_REGISTRY_URL": "https://registry.example/apis/ccompat/v7",
        "MESH_DATABASE_URL": "postgresql://auditor:x@db.example:5433/stores?sslmode=verify-full",
    }.items():
        monkeypatch.setenv(name, value)
    return file


def test_given_addresses_are_used(given: Path) -> None:
    """Each user connects to the given servers, with the password of the given file."""
    environment = Environment.load()
    password = Secrets(given).password("admin").get_secret_value()
    assert environment.kafka("admin") == {
        "bootstrap.servers": "broker.example:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "admin",
        "sasl.password": password,
    }
    assert conninfo_to_dict(environment.dsn("admin")) == {
        "host": "db.example",
        "port": "5433",
        "dbname": "stores",
        "user": "admin",
        "password": password,
        "sslmode": "verify-full",
    }


def test_only_apply_gets_a_login_to_the_registry(given: Path) -> None:
    """Readers need none, and get none."""
    environment = Environment.load()
    assert "basic.auth.user.info" in environment.registry("apply")
    assert environment.registry("auditor") == {"url": "https://registry.example/apis/ccompat/v7"}


@pytest.mark.parametrize("missing", ["MESH_KAFKA_BOOTSTRAP", "MESH_REGISTRY_URL", "MESH_DATABASE_URL"])
def test_half_an_address_is_named(given: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """What is missing is said, not guessed."""
    monkeypatch.delenv(missing)
    with pytest.raises(NoEnvironmentError, match=missing):
        Environment.load()


def test_a_setting_that_cannot_be_is_named_without_its_value(
    given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt protocol, and a database URL whose text holds a password."""
    monkeypatch.setenv("MESH_DATABASE_URL", "postgresql://auditor:secret@[db")
    with pytest.raises(NoEnvironmentError, match="MESH_DATABASE_URL") as error:
        Environment.load()
    assert "secret" not in str(error.value)
    monkeypatch.setenv("MESH_KAFKA_SECURITY_PROTOCOL", "PLAIN")
    with pytest.raises(NoEnvironmentError, match="kafka_security_protocol"):
        Environment.load()


def test_without_a_stack_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that a shell still has from `mesh local env` do not stand for servers and passwords."""
    monkeypatch.delenv("MESH_SECRETS", raising=False)
    monkeypatch.setenv("MESH_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("MESH_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    with pytest.raises(NoEnvironmentError, match="mesh local up"):
        Environment.load()


def test_exports_survive_a_shell(given: Path) -> None:
    """What a shell makes of the exports is what was meant; a domain's role is its name with `_`."""
    wanted = exports(Environment.load(), "local-tax")
    lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in wanted.items())
    shown = subprocess.run(
        ["sh", "-c", f"{lines}\nenv"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    found = dict(line.split("=", 1) for line in shown.stdout.splitlines() if line.startswith("MESH_"))
    assert found == wanted
    assert wanted["MESH_DATABASE_URL"].startswith("postgresql://local_tax:")
    assert wanted["MESH_KAFKA_SASL_USERNAME"] == "local-tax"
