"""base64url without padding (RFC 4648 section 5), a column at a time: values of one length in one go."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def to_base64url(values: pa.Array) -> pa.Array:
    """Each value (binary, or of fixed width) as string; null stays null."""
    length = one_length(values)
    if length:
        return _encoded_together(values.cast(pa.binary()), length)
    return pa.array([None if value is None else _encoded(value) for value in values.to_pylist()], pa.string())


def from_base64url(texts: pa.Array) -> pa.Array:
    """Each string's bytes (binary); null where it isn't base64url as `to_base64url` writes it, or null."""
    length = one_length(texts)
    if length and length % 4 != 1:
        decoded = _decoded_together(texts, length)
        if decoded is not None:
            return decoded
    return pa.array([None if text is None else _decoded(text) for text in texts.to_pylist()], pa.binary())


def one_length(values: pa.Array) -> int:
    """How many bytes each value has, where all have as many and none is null; else 0."""
    if values.null_count or not len(values):
        return 0
    found = pc.min_max(pc.binary_length(values))
    least, most = found["min"].as_py(), found["max"].as_py()
    return int(least) if least == most else 0


def data_of(values: pa.Array) -> Any:
    """The bytes of binary or string values (no null), one after the other, as a buffer."""
    offsets = pa.Array.from_buffers(
        pa.int32(), len(values) + 1, [None, values.buffers()[1]], offset=values.offset
    )
    begin, end = offsets[0].as_py(), offsets[-1].as_py()
    return values.buffers()[2].slice(begin, end - begin)


def fixed(content: Any, width: int) -> pa.FixedSizeBinaryArray:
    """A buffer as values of one width."""
    buffer = pa.py_buffer(content)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), buffer.size // width, [None, buffer])


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _encoded_together(values: pa.Array, length: int) -> pa.Array:
    filler = b"\0" * (-length % 3)
    filled = pc.binary_join_element_wise(values, pa.scalar(filler), pa.scalar(b"")) if filler else values
    text = base64.urlsafe_b64encode(data_of(filled))
    width = (length + len(filler)) // 3 * 4
    return pc.binary_slice(fixed(text, width).cast(pa.binary()), 0, (length * 4 + 2) // 3).cast(pa.string())


def _decoded(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _encoded(raw) == text else None


def _decoded_together(texts: pa.Array, length: int) -> pa.Array | None:
    """None where one of them isn't canonical: then each is looked at by itself."""
    filler = "A" * (-length % 4)
    filled = pc.binary_join_element_wise(texts, pa.scalar(filler), pa.scalar("")) if filler else texts
    width = (length + len(filler)) // 4 * 3
    try:
        raw = base64.b64decode(data_of(filled), altchars=b"-_")
    except (binascii.Error, ValueError):
        return None
    if len(raw) != width * len(texts):
        return None  # what isn't of the alphabet was passed over
    values = pc.binary_slice(fixed(raw, width).cast(pa.binary()), 0, length * 3 // 4)
    return values if to_base64url(values).equals(texts) else None
