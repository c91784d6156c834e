"""The key file: made once at installation, for its owner's eyes only, whole or not at all."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from pathlib import Path

import orjson
from filelock import FileLock
from pydantic import BaseModel, ValidationError

from infra.errors import KeyFileError
from infra.local.home import write_json
from processors.codes import DIGEST, KEY_BYTES, MESH, KeyRing
from schemas.systems import DOMAINS

#: Every name that a key ring of this mesh has.
KEY_NAMES = (MESH, DIGEST, *DOMAINS)

LOCK_TIMEOUT_S = 30.0


class _KeyFile(BaseModel, frozen=True, extra="forbid"):
    version: int
    keys: dict[str, list[str]]


def load_keys(file: Path, names: Iterable[str] = KEY_NAMES) -> KeyRing:
    """The key ring in `file`. KeyFileError where there is none, others may read it, or one of `names` has no key."""
    try:
        others = file.stat().st_mode & 0o077
        content = file.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(f"no key file {file.name}: `mesh apply` makes it") from None
    if others:
        raise KeyFileError(f"key file {file.name} can be read by others: its mode must be 0600")
    ring = _ring(content, file.name)
    missing = sorted(set(names) - set(ring.keys))
    if missing:
        raise KeyFileError(
            f"key file {file.name} has no key for {', '.join(missing)}: `mesh apply` adds them"
        )
    return ring


def ensure_keys(file: Path, names: Iterable[str] = KEY_NAMES) -> KeyRing:
    """The key ring in `file`, with a new key for each name that has none; those that are there stay as they are."""
    wanted = tuple(names)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
        known = dict(_ring(file.read_bytes(), file.name).keys) if file.exists() else {}
        fresh = {name: (secrets.token_bytes(KEY_BYTES),) for name in wanted if name not in known}
        if fresh:
            write_json(file, {"version": 1, "keys": _texts(known | fresh)})
        return load_keys(file, wanted)


def _ring(content: bytes, name: str) -> KeyRing:
    try:
        parsed = _KeyFile.model_validate(orjson.loads(content))
        keys = {
            owner: tuple(base64.b64decode(key, validate=True) for key in of)
            for owner, of in parsed.keys.items()
        }
        if parsed.version == 1:
            return KeyRing(keys)
    except (ValidationError, binascii.Error, ValueError):
        pass  # the error would show what stood in the file
    raise KeyFileError(f"key file {name} is not of the form expected")


def _texts(keys: dict[str, tuple[bytes, ...]]) -> dict[str, list[str]]:
    return {name: [base64.b64encode(key).decode() for key in of] for name, of in keys.items()}
