"""Content of dead letters at rest: encrypted, bound to its place, and named by a keyed digest.

AES-SIV (RFC 5297): no nonce to be drawn, so that a replay gives the same bytes; the associated data is the place, so
that no sealed content can stand for another's, and the same content looks different at two places.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from schemas.codec import Codec

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_DIGEST_BYTES: Final = 12
_PURPOSE: Final = b"letter"


class SealedError(Exception):
    """No key of the installation opens it, or it was sealed for another place; the text holds no content."""


class Sealer:
    """The keys for letters, newest first, 64 bytes each: the newest seals, any opens, the oldest makes digests.

    So keys can be changed by putting a new one in front; an old one stays as long as letters are to be opened.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    @cached_property
    def _ciphers(self) -> list[AESSIV]:
        # Most workers never have a letter: none of them loads this for nothing.
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

        return [AESSIV(key) for key in self._keys]

    def seal(self, content: bytes, place: str) -> bytes:
        """The content, encrypted for this place."""
        # AES-SIV has no name for nothing: an empty value is one byte too.
        return self._ciphers[0].encrypt(b"\x00" + content, [place.encode()])

    def open(self, sealed: bytes, place: str) -> bytes:
        """What was sealed for this place. SealedError."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        for cipher in self._ciphers:
            with suppress(InvalidTag, ValueError):
                return cipher.decrypt(sealed, [place.encode()])[1:]
        raise SealedError("no key opens this letter")

    def digest(self, content: bytes) -> str:
        """Names a content (24 hex characters) and tells nothing of it to who doesn't have the key."""
        return hashlib.blake2b(
            content, key=self._keys[-1], digest_size=_DIGEST_BYTES, person=_PURPOSE
        ).hexdigest()


@dataclass(frozen=True)
class Coding:
    """How values are read and written, and letters sealed."""

    codec: Codec
    sealer: Sealer
