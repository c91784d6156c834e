"""The passwords of an installation, generated once, in a file that only its owner may read."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import orjson
from filelock import FileLock
from pydantic import SecretStr

from infra.local.home import write_json

#: Random bytes of a password (256 bits); it is URL-safe text, which needs no quoting.
PASSWORD_BYTES = 32
LOCK_TIMEOUT_S = 30.0


class Secrets:
    """Passwords by user name. Each call reads the file; writes are atomic and under a lock file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def password(self, name: str) -> SecretStr:
        """Return the password of `name`. Raise KeyError, with the known names, where there is none."""
        known = self._read()
        if name not in known:
            raise KeyError(f"no user {name!r}; there are: {', '.join(sorted(known)) or 'none'}")
        return SecretStr(known[name])

    def names(self) -> list[str]:
        """Return the sorted names that have a password."""
        return sorted(self._read())

    def ensure(self, names: Iterable[str]) -> None:
        """Generate a password for each of `names` without one. Existing passwords never change."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
            known = self._read()
            missing = set(names) - known.keys()
            if missing:
                new = {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in missing}
                write_json(self._file, known | new)

    def _read(self) -> dict[str, str]:
        try:
            passwords = orjson.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        return {str(name): str(password) for name, password in passwords.items()}
