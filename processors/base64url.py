"""base64url without padding (RFC 4648 section 5), many values at a time."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc


def to_base64url(values: Sequence[bytes | None]) -> pa.Array:
    """Each value as string; null stays null. Values of one length, as codes are, are encoded in one go."""
    present = [value for value in values if value is not None]
    lengths = set(map(len, present))
    if len(present) == len(values) and len(lengths) == 1 and 0 not in lengths:
        return _encoded_together(present, lengths.pop())
    return pa.array([None if value is None else _encoded(value) for value in values], pa.string())


def from_base64url(texts: pa.Array) -> list[bytes | None]:
    """Each string's bytes; None where it isn't base64url as `to_base64url` writes it, or null."""
    lengths = pc.unique(pc.binary_length(texts)).to_pylist()
    if len(lengths) == 1 and lengths[0] and lengths[0] % 4 != 1:
        decoded = _decoded_together(texts, lengths[0])
        if decoded is not None:
            return decoded
    return [None if text is None else _decoded(text) for text in texts.to_pylist()]


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _encoded_together(values: Sequence[bytes], length: int) -> pa.Array:
    filler = b"\0" * (-length % 3)
    text = base64.urlsafe_b64encode(filler.join(values) + filler)
    width = (length + len(filler)) // 3 * 4
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, pa.py_buffer(text)])
    return pc.binary_slice(fixed.cast(pa.binary()), 0, (length * 4 + 2) // 3).cast(pa.string())


def _decoded(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _encoded(raw) == text else None


def _decoded_together(texts: pa.Array, length: int) -> list[bytes | None] | None:
    """None where one of them isn't canonical: then each is looked at by itself."""
    if not pc.all(pc.match_substring_regex(texts, "^[A-Za-z0-9_-]*$")).as_py():
        return None
    filler = "A" * (-length % 4)
    raw = base64.b64decode(filler.join(texts.to_pylist()) + filler, altchars=b"-_")
    step, size = (length + len(filler)) // 4 * 3, length * 3 // 4
    values = [raw[start : start + size] for start in range(0, len(raw), step)]
    return list(values) if to_base64url(values).equals(texts) else None
