"""The passwords of an installation, generated once, in one file that only its owner may read."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import orjson
from filelock import FileLock
from pydantic import SecretStr

from infra.local.home import write_json

#: Bytes of randomness in a password (256 bits), as URL-safe text, which needs no quoting anywhere.
PASSWORD_BYTES = 32
LOCK_TIMEOUT_S = 30.0


class Secrets:
    """Passwords by name. Reads see the file as it is now; writing is atomic, under a lock beside it."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def password(self, name: str) -> SecretStr:
        """The password of `name`. KeyError lists the names there are."""
        known = self._read()
        if name not in known:
            raise KeyError(f"no user {name!r}; there are: {', '.join(sorted(known)) or 'none'}")
        return SecretStr(known[name])

    def names(self) -> list[str]:
        """Who has a password here, sorted."""
        return sorted(self._read())

    def ensure(self, names: Iterable[str]) -> None:
        """Give a new password to each of `names` that has none; those that have one keep it."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
            known = self._read()
            missing = set(names) - known.keys()
            if missing:
                fresh = {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in missing}
                write_json(self._file, known | fresh)

    def _read(self) -> dict[str, str]:
        try:
            found = orjson.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        return {str(name): str(password) for name, password in found.items()}
