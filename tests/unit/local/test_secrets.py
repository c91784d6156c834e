"""Passwords are generated once, readable by their owner only, and not lost by concurrent writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.local.secrets import Secrets


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """The file has mode 0600."""
    Secrets(tmp_path / "secrets.json").ensure(["admin"])
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_an_existing_password_never_changes(tmp_path: Path) -> None:
    """A second `ensure` only adds passwords of new names."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(["admin"])
    before = secrets.password("admin")
    secrets.ensure(["admin", "juki.131041"])
    assert secrets.password("admin") == before
    assert secrets.names() == ["admin", "juki.131041"]
    assert secrets.password("juki.131041") != before


def test_passwords_are_long_and_need_no_quoting(tmp_path: Path) -> None:
    """They have 256 bits, in characters without a meaning in a shell, a URL or a properties file."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(map(str, range(20)))
    for name in secrets.names():
        value = secrets.password(name).get_secret_value()
        assert len(value) >= 43
        assert value.replace("-", "").replace("_", "").isalnum()


def test_the_error_for_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    """KeyError has the names, and no password."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(["admin", "auditor"])
    with pytest.raises(KeyError, match="admin, auditor") as error:
        secrets.password("nobody")
    assert secrets.password("admin").get_secret_value() not in str(error.value)


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    """The file has the names of all writers."""
    file = tmp_path / "secrets.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Secrets(file).ensure([f"user-{n}", "shared"]), range(24)))
    assert len(Secrets(file).names()) == 25


def test_a_password_is_not_in_its_repr(tmp_path: Path) -> None:
    """An accidentally logged password is masked."""
    secrets = Secrets(tmp_path / "secrets.json")
    secrets.ensure(["admin"])
    assert secrets.password("admin").get_secret_value() not in repr(secrets.password("admin"))
