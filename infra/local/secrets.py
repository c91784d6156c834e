"""The passwords of an installation, generated once, in one file that only its owner may read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock
from pydantic import SecretStr

#: Bytes of randomness in a password (256 bits), as URL-safe text, which needs no quoting anywhere.
PASSWORD_BYTES = 32
LOCK_TIMEOUT_S = 30.0
OWNER_ONLY = 0o600


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
        with FileLock(f"{self._file}.lock", timeout=LOCK_TIMEOUT_S, mode=OWNER_ONLY):
            known = self._read()
            missing = set(names) - known.keys()
            if missing:
                self._write(known | {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in missing})

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        return {str(name): str(password) for name, password in found.items()}

    def _write(self, known: dict[str, str]) -> None:
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)
