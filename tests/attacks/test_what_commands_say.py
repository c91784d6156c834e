"""What a command prints is so: a login that works, a reason where there is no case, a version, every file ingested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra import cli as mesh
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local import cli as local
from infra.local.secrets import Secrets
from infra.tracker import cli as cases
from infra.tracker import client
from infra.verification.synthetic.writing import write_city

ROOT = Path(__file__).parents[2]
MUNICIPALITY = "131041"
NAMES = (
    *(
        "admin",
        "registry",
        "auditor",
        "apply",
        "postgres",
        "tracker.http",
        "intake",
        "operator",
        "juki-cs.131041",
    ),
    *("local-tax", "local_tax", "sink.local-tax", "sink_local_tax", "care.131041", "care_131041"),
)
#: User, and its login at the database: None where it has none.
LOGINS = [
    ("auditor", "auditor"),
    ("local-tax", "local_tax"),
    ("sink.local-tax", "sink_local_tax"),
    ("care.131041", "care_131041"),
    ("intake", None),
    ("operator", None),
    ("juki-cs.131041", None),
]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return an environment whose users have passwords, without servers."""
    Secrets(tmp_path / "secrets.json").ensure(NAMES)
    monkeypatch.setenv("MESH_HOME", str(tmp_path))
    monkeypatch.setenv("MESH_MUNICIPALITIES", MUNICIPALITY)
    monkeypatch.setenv("MESH_SECRETS", str(tmp_path / "secrets.json"))
    monkeypatch.setenv("MESH_KAFKA_BOOTSTRAP", "broker.example:9092")
    monkeypatch.setenv("MESH_REGISTRY_URL", "http://registry.example")
    monkeypatch.setenv("MESH_DATABASE_URL", "postgresql://db.example:5432/mesh")
    return Environment.load()


def env(user: str) -> tuple[dict[str, str], str]:
    """Return the variables that `mesh local env` exports, and what it says about others."""
    result = CliRunner().invoke(local.app, ["env", "--user", user])
    assert result.exit_code == 0, result.output
    exported = re.findall(r"^export (\w+)=(\S+)$", result.stdout, re.MULTILINE)
    return dict(exported), result.output


@pytest.mark.parametrize(("user", "role"), LOGINS)
def test_a_database_url_is_of_a_login_that_exists(
    environment: Environment, user: str, role: str | None
) -> None:
    """Without a login at the database there is no URL; one from before is unset, and the command says so."""
    variables, output = env(user)
    assert variables["MESH_KAFKA_SASL_USERNAME"] == user
    if role is None:
        assert "MESH_DATABASE_URL" not in variables
        assert "unset MESH_DATABASE_URL" in output
        assert f"{user} has no login at the database" in output
    else:
        password = environment.secrets().password(role).get_secret_value()
        assert variables["MESH_DATABASE_URL"] == f"postgresql://{role}:{password}@db.example:5432/mesh"


@pytest.mark.usefixtures("environment")
def test_a_login_of_the_database_alone_has_no_login_at_the_brokers() -> None:
    """The superuser, for example."""
    variables, output = env("postgres")
    assert variables["MESH_DATABASE_URL"].startswith("postgresql://postgres:")
    assert "MESH_KAFKA_SASL_PASSWORD" not in variables
    assert "postgres has no login at the brokers" in output


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", ["tracker.http", "apply", "nobody"])
def test_a_password_without_any_login_is_no_user(name: str) -> None:
    """The token of the tracker and the registry's password open neither."""
    result = CliRunner().invoke(local.app, ["env", "--user", name])
    assert result.exit_code == 2
    assert "no user" in result.output


REJECTED = {
    "id": "in.juki-cs.131041/0/18", "kind": "REJECTED", "municipality": MUNICIPALITY, "notice": "13104-1",
    "code": "CANCELS_OVERTAKEN", "reason": "…", "source": "山田　花子.csv", "line": 3,
}  # fmt: skip


class NoCases:
    """The tracker's answers where there is no case."""

    def case(self, municipality: str, notice: str) -> Mapping[str, Any]:
        """Raise what the client raises for the answer 404."""
        error = getattr(client, "NoCaseError", OperatorError)
        raise error("tracker: no such case")


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("notice", "said"), [("13104-1", "was rejected (CANCELS_OVERTAKEN)"), ("13104-2", "mesh wait --idle")]
)
def test_a_rejected_notice_has_a_reason_instead_of_a_case(
    monkeypatch: pytest.MonkeyPatch, notice: str, said: str
) -> None:
    """`mesh cases show` says that it was rejected and how to see why, without what the submission contains."""
    monkeypatch.setattr(cases, "_tracker", NoCases)
    monkeypatch.setattr(cases, "codec", lambda *_: None, raising=False)
    monkeypatch.setattr(cases, "list_rejected", lambda *_: [REJECTED], raising=False)
    result = CliRunner().invoke(cases.app, ["show", MUNICIPALITY, notice])
    assert result.exit_code == 2
    assert said in result.output
    assert "山田" not in result.output
    assert ("mesh rejected show in.juki-cs.131041/0/18" in result.output) == (notice == REJECTED["notice"])


def test_the_command_has_a_version() -> None:
    """It is the version of the installed package."""
    result = CliRunner().invoke(mesh.app, ["--version"])
    assert result.exit_code == 0
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version
    assert result.output == f"mesh {version[1]}\n"


def test_the_readme_ingests_every_file_of_a_synthetic_city(tmp_path: Path) -> None:
    """Also the portal's events, of which the accounts in the stores come."""
    write_city(tmp_path / "city", 60, 5, 1)
    text = (ROOT / "README.md").read_text("utf-8")
    patterns = re.findall(r"mesh ingest .*? (city/\S+)", text)
    ingested = {file for pattern in patterns for file in tmp_path.glob(pattern)}
    assert set((tmp_path / "city").iterdir()) == ingested
