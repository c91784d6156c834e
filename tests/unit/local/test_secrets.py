"""Secrets: made once, for their owner's eyes only, never lost by two writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.secrets import Secrets


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """Mode 0600, whatever the umask."""
    Secrets(tmp_path / "secrets.json").ensure(["admin"])
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_password_once_made_stays(tmp_path: Path) -> None:
    """A second `ensure` adds who is new and changes nobody else's."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(["admin"])
    before = secrets.password("admin")
    secrets.ensure(["admin", "juki.131041"])
    assert secrets.password("admin") == before
    assert secrets.names() == ["admin", "juki.131041"]
    assert secrets.password("juki.131041") != before


def test_passwords_are_long_and_need_no_quoting(tmp_path: Path) -> None:
    """256 bits, in letters that mean nothing to a shell, a URL or a properties file."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(map(str, range(20)))
    for name in secrets.names():
        value = secrets.password(name).get_secret_value()
        assert len(value) >= 43
        assert value.replace("-", "").replace("_", "").isalnum()


def test_an_unknown_name_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    """KeyError says who there is, and shows no password."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(["admin", "auditor"])
    with pytest.raises(KeyError, match="admin, auditor") as error:
        secrets.password("nobody")
    assert secrets.password("admin").get_secret_value() not in str(error.value)


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    """Every name of every writer is there in the end."""
    file = tmp_path / "secrets.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Secrets(file).ensure([f"user-{n}", "shared"]), range(24)))
    assert len(Secrets(file).names()) == 25


def test_a_password_shows_in_no_repr(tmp_path: Path) -> None:
    """What is logged by accident is stars."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(["admin"])
    assert secrets.password("admin").get_secret_value() not in repr(secrets.password("admin"))
