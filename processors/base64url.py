"""base64url without padding (RFC 4648 section 5) for columns; values of equal length are converted in one call."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def to_base64url(values: pa.Array) -> pa.Array:
    """Return each value (binary, or of fixed width) as a string; null stays null."""
    length = common_length(values)
    if length:
        return _encode_column(values.cast(pa.binary()), length)
    return pa.array(
        [None if value is None else _encode_one(value) for value in values.to_pylist()], pa.string()
    )


def from_base64url(texts: pa.Array) -> pa.Array:
    """Return the bytes (binary) of each string; null for null and for text that `to_base64url` would not produce."""
    length = common_length(texts)
    if length and length % 4 != 1:
        decoded = _decode_column(texts, length)
        if decoded is not None:
            return decoded
    return pa.array([None if text is None else _decode_one(text) for text in texts.to_pylist()], pa.binary())


def common_length(values: pa.Array) -> int:
    """Return the number of bytes of each value if it is the same for all and none is null, else 0."""
    if values.null_count or not len(values):
        return 0
    bounds = pc.min_max(pc.binary_length(values))
    shortest, longest = bounds["min"].as_py(), bounds["max"].as_py()
    return int(shortest) if shortest == longest else 0


def data_buffer(values: pa.Array) -> Any:
    """Return the concatenated bytes of binary or string values (without null) as a buffer."""
    offsets = pa.Array.from_buffers(
        pa.int32(), len(values) + 1, [None, values.buffers()[1]], offset=values.offset
    )
    begin, end = offsets[0].as_py(), offsets[-1].as_py()
    return values.buffers()[2].slice(begin, end - begin)


def fixed_width(content: Any, width: int) -> pa.FixedSizeBinaryArray:
    """Return a buffer as an array of values of this width in bytes."""
    buffer = pa.py_buffer(content)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), buffer.size // width, [None, buffer])


def _encode_one(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _encode_column(values: pa.Array, length: int) -> pa.Array:
    filler = b"\0" * (-length % 3)
    filled = pc.binary_join_element_wise(values, pa.scalar(filler), pa.scalar(b"")) if filler else values
    text = base64.urlsafe_b64encode(data_buffer(filled))
    width = (length + len(filler)) // 3 * 4
    return pc.binary_slice(fixed_width(text, width).cast(pa.binary()), 0, (length * 4 + 2) // 3).cast(
        pa.string()
    )


def _decode_one(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _encode_one(raw) == text else None


def _decode_column(texts: pa.Array, length: int) -> pa.Array | None:
    """Decode texts of equal length in one call; None if one of them isn't canonical, as it must become null."""
    filler = "A" * (-length % 4)
    filled = pc.binary_join_element_wise(texts, pa.scalar(filler), pa.scalar("")) if filler else texts
    width = (length + len(filler)) // 4 * 3
    try:
        raw = base64.b64decode(data_buffer(filled), altchars=b"-_")
    except (binascii.Error, ValueError):
        return None
    if len(raw) != width * len(texts):
        return None  # b64decode skips characters outside the alphabet
    values = pc.binary_slice(fixed_width(raw, width).cast(pa.binary()), 0, length * 3 // 4)
    return values if to_base64url(values).equals(texts) else None
