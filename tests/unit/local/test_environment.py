"""The environment is servers of one's own or the local stack; without either the error says what to do."""

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
def secrets_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set MESH_* settings of servers, and return the file of their passwords."""
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


def test_servers_named_in_the_settings_replace_the_local_stack(secrets_file: Path) -> None:
    """Each user connects to the servers of the settings, with the password in the secrets file."""
    environment = Environment.load()
    password = Secrets(secrets_file).password("admin").get_secret_value()
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


def test_only_apply_has_credentials_for_the_registry(secrets_file: Path) -> None:
    """Readers need none."""
    environment = Environment.load()
    assert "basic.auth.user.info" in environment.registry("apply")
    assert environment.registry("auditor") == {"url": "https://registry.example/apis/ccompat/v7"}


@pytest.mark.parametrize("missing", ["MESH_KAFKA_BOOTSTRAP", "MESH_REGISTRY_URL", "MESH_DATABASE_URL"])
def test_a_missing_setting_is_named(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """The error names the setting that is missing beside MESH_SECRETS."""
    monkeypatch.delenv(missing)
    with pytest.raises(NoEnvironmentError, match=missing):
        Environment.load()


def test_an_invalid_setting_is_named_without_its_value(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The value of a database URL may contain a password."""
    monkeypatch.setenv("MESH_DATABASE_URL", "postgresql://auditor:secret@[db")
    with pytest.raises(NoEnvironmentError, match="MESH_DATABASE_URL") as error:
        Environment.load()
    assert "secret" not in str(error.value)
    monkeypatch.setenv("MESH_KAFKA_SECURITY_PROTOCOL", "PLAIN")
    with pytest.raises(NoEnvironmentError, match="kafka_security_protocol"):
        Environment.load()


def test_without_servers_the_error_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that a shell has from `mesh local env` are not used without MESH_SECRETS."""
    monkeypatch.delenv("MESH_SECRETS", raising=False)
    monkeypatch.setenv("MESH_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("MESH_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    with pytest.raises(NoEnvironmentError, match="mesh local up"):
        Environment.load()


def test_a_shell_reads_the_exports_unchanged(secrets_file: Path) -> None:
    """The quoting is right for a shell. A domain's database role has `_` for `-` in its name."""
    exported = exports(Environment.load(), "local-tax")
    variables = {name: value for name, value in exported.items() if value is not None}
    assert variables == exported
    lines = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())
    process = subprocess.run(
        ["sh", "-c", f"{lines}\nenv"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    in_shell = dict(line.split("=", 1) for line in process.stdout.splitlines() if line.startswith("MESH_"))
    assert in_shell == variables
    assert variables["MESH_DATABASE_URL"].startswith("postgresql://local_tax:")
    assert variables["MESH_DATABASE_URL"].endswith("@db.example:5433/stores?sslmode=verify-full")
    assert variables["MESH_KAFKA_SASL_USERNAME"] == "local-tax"
