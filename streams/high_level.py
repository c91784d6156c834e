"""Sealing of everything about the high level: content in boxes of few sizes, and keyed digests in place of names.

A box is AES-SIV (RFC 5297) of the padded content, in Base64url: it needs no random nonce, so a replay gives the same
bytes. The associated data is a context, such as the topic: a box can't be moved to another one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import Final

from streams.errors import NotConfiguredError
from streams.sealing import SealedError, Sealer

_LENGTH_BYTES: Final = 4
#: Content is padded to a power of two of bytes from the first to the second number, and beyond to multiples of that.
_SMALLEST: Final = 1_024
_LARGEST_STEP: Final = 65_536
_DIGEST_BYTES: Final = 16
#: Personalization of BLAKE2b; fixed: keys of records and of state depend on it.
_PURPOSE: Final = b"high"


class HighSealer:
    """Keys of the high level, 64 bytes each, newest first: the newest seals, any opens, the oldest makes digests.

    Its repr shows no key.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = tuple(keys)
        self._sealer = Sealer(keys)
        self._digest = hashlib.blake2b(key=keys[-1], digest_size=_DIGEST_BYTES, person=_PURPOSE)

    def seal(self, content: bytes, context: str) -> str:
        """Return a box of the content for this context."""
        length = len(content).to_bytes(_LENGTH_BYTES, "big")
        padded = (length + content).ljust(_padded_length(_LENGTH_BYTES + len(content)), b"\x00")
        return base64.urlsafe_b64encode(self._sealer.seal(padded, context)).decode()

    def open(self, box: str, context: str) -> bytes:
        """Return the content that was sealed for this context; raise SealedError if no key opens the box."""
        try:
            raw = base64.b64decode(box, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise SealedError("this is no box") from None
        padded = self._sealer.open(raw, context)
        length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
        return padded[_LENGTH_BYTES : _LENGTH_BYTES + length]

    def digest(self, name: str, context: str) -> str:
        """Return a keyed digest of a name (32 hex characters); another one in another context."""
        digest = self._digest.copy()
        digest.update(b"%b\0%b" % (context.encode(), name.encode()))
        return digest.hexdigest()


def required(sealer: HighSealer | None) -> HighSealer:
    """Return the sealer of a step that meets the high level; raise NotConfiguredError if it has none."""
    if sealer is None:
        raise NotConfiguredError("the keys of the high level are missing: run mesh apply")
    return sealer


def _padded_length(length: int) -> int:
    if length > _LARGEST_STEP:
        return -(-length // _LARGEST_STEP) * _LARGEST_STEP
    return max(_SMALLEST, 1 << (length - 1).bit_length())
