"""The key file: made once at installation, for its owner's eyes only, whole or not at all."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from infra.key_file import DEAD_LETTER_KEYS, Keys, misformed, parsed, read_keys
from infra.local.home import write_json
from processors.codes import DIGEST, KEY_BYTES, MESH, KeyRing
from schemas.systems import DOMAINS

#: Every name that a key ring of this mesh has.
KEY_NAMES = (MESH, DIGEST, DEAD_LETTER_KEYS, *DOMAINS)

LOCK_TIMEOUT_S = 30.0


def load_keys(file: Path, names: Iterable[str] = KEY_NAMES) -> KeyRing:
    """The key ring in `file`. KeyFileError where there is none, others may read it, or one of `names` has no key."""
    return _ring(read_keys(file, names), file.name)


def ensure_keys(file: Path, names: Iterable[str] = KEY_NAMES) -> KeyRing:
    """The key ring in `file`, with a new key for each name that has none; those that are there stay as they are."""
    wanted = tuple(names)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
        known = dict(_ring(parsed(file.read_bytes(), file.name), file.name).keys) if file.exists() else {}
        fresh = {name: (secrets.token_bytes(KEY_BYTES),) for name in wanted if name not in known}
        if fresh:
            write_json(file, {"version": 1, "keys": _texts(known | fresh)})
        return load_keys(file, wanted)


def _ring(keys: Keys, name: str) -> KeyRing:
    try:
        return KeyRing(keys)
    except ValueError:
        raise misformed(name) from None


def _texts(keys: dict[str, tuple[bytes, ...]]) -> dict[str, list[str]]:
    return {name: [base64.b64encode(key).decode() for key in of] for name, of in keys.items()}
