"""The key file: created once by `mesh apply`, readable by its owner only, written atomically."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from infra.key_file import (
    DEAD_LETTER_KEYS,
    HIGH_LEVEL_KEYS,
    Keys,
    invalid_key_file,
    parse_keys,
    read_keys,
    sink_keys,
)
from infra.local.home import write_json
from processors.codes import DIGEST, KEY_BYTES, MESH, KeyRing
from schemas.systems import DOMAINS

#: Names of all keys in the mesh's key ring.
KEY_NAMES = (
    MESH,
    DIGEST,
    DEAD_LETTER_KEYS,
    HIGH_LEVEL_KEYS,
    *DOMAINS,
    *(sink_keys(domain.id) for domain in DOMAINS.values() if domain.is_high),
)

LOCK_TIMEOUT_S = 30.0


def load_keys(file: Path, names: Iterable[str] = KEY_NAMES) -> KeyRing:
    """Return a key ring with the keys of `names` in `file`, and no others. Raise KeyFileError as `read_keys` does."""
    required = tuple(names)
    keys = _ring(read_keys(file, required), file.name).keys
    return KeyRing({name: keys[name] for name in required})


def load_all_keys(file: Path) -> KeyRing:
    """Return a key ring with all keys in `file`. Raise KeyFileError as `read_keys` does."""
    return _ring(read_keys(file, ()), file.name)


def ensure_keys(file: Path, names: Iterable[str] = KEY_NAMES) -> KeyRing:
    """Add a new key for each of `names` without one, and return the key ring. Existing keys never change."""
    required = tuple(names)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
        existing = (
            dict(_ring(parse_keys(file.read_bytes(), file.name), file.name).keys) if file.exists() else {}
        )
        new = {name: (secrets.token_bytes(KEY_BYTES),) for name in required if name not in existing}
        if new:
            write_json(file, {"version": 1, "keys": _to_base64(existing | new)})
        return load_keys(file, required)


def _ring(keys: Keys, name: str) -> KeyRing:
    try:
        return KeyRing(keys)
    except ValueError:
        raise invalid_key_file(name) from None


def _to_base64(keys: dict[str, tuple[bytes, ...]]) -> dict[str, list[str]]:
    return {name: [base64.b64encode(key).decode() for key in versions] for name, versions in keys.items()}
