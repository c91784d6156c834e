"""Encryption of dead letters' content, and keyed digests as their ids.

AES-SIV (RFC 5297) needs no random nonce, so a replay gives the same bytes. The associated data is a context (the step,
the dead letter and its field): sealed content can't be moved to another context, and equal content differs between two.
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
#: Personalization of BLAKE2b; fixed: ids of existing dead letters depend on it.
_PURPOSE: Final = b"letter"


class SealedError(Exception):
    """No key of the installation opens this, or it was sealed for another context; the message has no content."""


class Sealer:
    """The keys of dead letters, 64 bytes each, newest first: the newest seals, any opens, the oldest makes digests.

    An old key is needed as long as dead letters sealed with it must be opened; the last one can't be removed without
    changing all digests. `mesh apply` and workers refuse a list that has changed.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    @cached_property
    def _ciphers(self) -> list[AESSIV]:
        # Most workers never have a dead letter: they start faster without this import.
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415

        return [AESSIV(key) for key in self._keys]

    def seal(self, content: bytes, context: str) -> bytes:
        """Return the content, encrypted for this context."""
        # Some versions of the library reject empty content, so one byte is put in front of all content.
        return self._ciphers[0].encrypt(b"\x00" + content, [context.encode()])

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return the content that was sealed for this context; raise SealedError if no key opens it."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        for cipher in self._ciphers:
            with suppress(InvalidTag, ValueError):
                return cipher.decrypt(sealed, [context.encode()])[1:]
        raise SealedError("no key opens this content, or it was sealed for another dead letter")

    def digest(self, content: bytes) -> str:
        """Return a keyed digest of the content: 24 hex characters, which reveal nothing without the key."""
        return hashlib.blake2b(
            content, key=self._keys[-1], digest_size=_DIGEST_BYTES, person=_PURPOSE
        ).hexdigest()


@dataclass(frozen=True)
class Coding:
    """The codec of record values, and the sealer of dead letters."""

    codec: Codec
    sealer: Sealer
