"""What stands in the key file, read without what codes are made with: a worker that only seals starts sooner."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ValidationError

from infra.errors import KeyFileError
from streams.sealing import Sealer

#: Name of the keys that letters are sealed with.
DEAD_LETTER_KEYS: Final = "letters"

Keys = dict[str, tuple[bytes, ...]]


class _KeyFile(BaseModel, frozen=True, extra="forbid"):
    version: int
    keys: dict[str, list[str]]


def read_keys(file: Path, names: Iterable[str]) -> Keys:
    """All keys in `file`. KeyFileError where there is none, others may read it, or one of `names` has no key."""
    try:
        others = file.stat().st_mode & 0o077
        content = file.read_bytes()
    except FileNotFoundError:
        raise KeyFileError(f"no key file {file.name}: `mesh apply` makes it") from None
    if others:
        raise KeyFileError(f"key file {file.name} can be read by others: its mode must be 0600")
    keys = parsed(content, file.name)
    missing = sorted(set(names) - set(keys))
    if missing:
        raise KeyFileError(
            f"key file {file.name} has no key for {', '.join(missing)}: `mesh apply` adds them"
        )
    return keys


def sealer(file: Path) -> Sealer:
    """Seals letters with the installation's newest key for them, and opens any. KeyFileError."""
    return Sealer(read_keys(file, (DEAD_LETTER_KEYS,))[DEAD_LETTER_KEYS])


def parsed(content: bytes, name: str) -> Keys:
    """The keys in the content of a file of this name. KeyFileError."""
    try:
        found = _KeyFile.model_validate(orjson.loads(content))
        if found.version == 1:
            return {
                owner: tuple(base64.b64decode(key, validate=True) for key in of)
                for owner, of in found.keys.items()
            }
    except (ValidationError, binascii.Error, ValueError):
        pass  # the error would show what stood in the file
    raise misformed(name)


def misformed(name: str) -> KeyFileError:
    """What is said of a file that is none; never what stands in it."""
    return KeyFileError(f"key file {name} is not of the form expected")
