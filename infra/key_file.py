"""Reading the key file, without the modules that compute codes: a worker that only seals then starts sooner."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ValidationError

from infra.errors import KeyFileError
from streams.high_level import HighSealer
from streams.sealing import Sealer

#: Name of the keys that seal dead letters.
DEAD_LETTER_KEYS: Final = "dead-letter"

#: Name of the keys of the high level: of intake, fan-out and conversion.
HIGH_LEVEL_KEYS: Final = "high-level"

Keys = dict[str, tuple[bytes, ...]]


def sink_keys(domain: str) -> str:
    """Return the name of the keys by which conversion seals records for the sink of a domain of the high level."""
    return f"{HIGH_LEVEL_KEYS}.{domain}"


class _KeyFile(BaseModel, frozen=True, extra="forbid"):
    version: int
    keys: dict[str, list[str]]


def read_keys(file: Path, names: Iterable[str]) -> Keys:
    """Return all keys in `file` by name, newest first.

    Raise KeyFileError where the file is missing, malformed or readable by other users, or lacks a key for one of
    `names`.
    """
    try:
        permissions_of_others = file.stat().st_mode & 0o077
        content = file.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(f"key file {file} is missing: run `mesh apply`") from None
    if permissions_of_others:
        raise KeyFileError(f"key file {file.name} can be read by other users: set its mode to 0600")
    keys = parse_keys(content, file.name)
    missing = sorted(set(names) - set(keys))
    if missing:
        raise KeyFileError(
            f"key file {file.name} has no key for {' and '.join(missing)}: run `mesh apply`, which adds them"
        )
    return keys


def sealer(file: Path) -> Sealer:
    """Return a sealer that seals with the newest key for dead letters and opens with any. Raise KeyFileError."""
    return Sealer(read_keys(file, (DEAD_LETTER_KEYS,))[DEAD_LETTER_KEYS])


def high_sealer(file: Path) -> HighSealer:
    """Return the sealer of the high level. Raise KeyFileError."""
    return HighSealer(read_keys(file, (HIGH_LEVEL_KEYS,))[HIGH_LEVEL_KEYS])


def sink_sealers(file: Path, domains: Iterable[str]) -> dict[str, HighSealer]:
    """Return for each of these domains of the high level the sealer that it shares with conversion.

    Raise KeyFileError.
    """
    names = {domain: sink_keys(domain) for domain in domains}
    keys = read_keys(file, names.values())
    return {domain: HighSealer(keys[name]) for domain, name in names.items()}


def parse_keys(content: bytes, name: str) -> Keys:
    """Return the keys in the content of the key file `name`. Raise KeyFileError where it is malformed."""
    try:
        key_file = _KeyFile.model_validate(orjson.loads(content))
        if key_file.version == 1:
            return {
                owner: tuple(base64.b64decode(key, validate=True) for key in keys)
                for owner, keys in key_file.keys.items()
            }
    except (ValidationError, binascii.Error, ValueError):
        pass  # the error's text would show keys
    raise invalid_key_file(name)


def invalid_key_file(name: str) -> KeyFileError:
    """Return the error for a malformed key file; its text has nothing of the content."""
    return KeyFileError(f"key file {name} is malformed: restore it from a backup")
