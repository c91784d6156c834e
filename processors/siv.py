"""AES-SIV (RFC 5297), deterministic, for a column of values at a time: no Python for each value.

The values of a column have one length, and one associated string; each is a message of its own, as if encrypted by
itself. Block by block the whole column goes through AES in one call, and through Arrow's kernels for all else.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.cmac import CMAC

from processors.base64url import data_of, fixed

#: Bytes of a block, and of the synthetic IV before each ciphertext.
BLOCK: Final = 16
_WORD: Final = 8
#: What the counter begins with is the IV without these two bits, so that counting never carries beyond 32 of them.
_COUNTER_MASK: Final = bytes.fromhex("ffffffffffffffff7fffffff7fffffff")
_REDUCTION: Final = 0x87


class Siv:
    """One key, of 32, 48 or 64 bytes: the first half authenticates, the second encrypts."""

    def __init__(self, key: bytes) -> None:
        half = len(key) // 2
        self._authentic = AES(key[:half])
        self._mac, self._counter = _blocks(key[:half]), _blocks(key[half:])
        zero = self._mac(bytes(BLOCK))
        self._whole = _doubled(zero)
        self._padded = _doubled(self._whole)

    def encrypted(self, values: pa.Array, associated: bytes) -> pa.FixedSizeBinaryArray:
        """IV and ciphertext of each value.

        `values` are of one fixed width, none null and none empty. ValueError for any other column.
        """
        length, count = values.type.byte_width, len(values)
        if not length or values.null_count:
            raise ValueError("values of one width are wanted, and no null")
        if not count:
            return pa.array([], pa.binary(BLOCK + length))
        plain = _bytes_of(values)
        vector = self._vectors(plain, associated, length, count)
        stream = self._stream(vector, length, count)
        encrypted = _xor_both(plain, stream)
        return fixed(_joined([fixed(vector, BLOCK), fixed(encrypted, length)]), BLOCK + length)

    def _vectors(self, plain: Any, associated: bytes, length: int, count: int) -> Any:
        """S2V of the associated string and each message."""
        begun = self._begun(associated)
        if length >= BLOCK:
            return self._authenticated(_xor(plain, bytes(length - BLOCK) + begun, count), length, count)
        padded = _joined([fixed(plain, length), pa.scalar(_padding(length))])
        return self._authenticated(_xor(padded, _doubled(begun), count), BLOCK, count)

    @lru_cache(maxsize=16)  # noqa: B019 - a mesh has a dozen keys, for as long as it runs
    def _begun(self, associated: bytes) -> bytes:
        """S2V of the associated string, before the message comes in."""
        zero = _doubled(self._one(bytes(BLOCK)))
        return _plain_xor(zero, self._one(associated))

    def _one(self, message: bytes) -> bytes:
        """CMAC of one message."""
        mac = CMAC(self._authentic)
        mac.update(message)
        return mac.finalize()

    def _authenticated(self, messages: Any, length: int, count: int) -> Any:
        """CMAC (NIST SP 800-38B) of each of `count` messages of `length` bytes, one after the other."""
        columns = fixed(messages, length)
        whole, left = divmod(length, BLOCK)
        state: Any = bytes(BLOCK * count)
        for number in range(whole - (not left)):
            state = self._mac(_xor_both(state, _sliced(columns, number * BLOCK, BLOCK)))
        if not left:
            last, key = _sliced(columns, length - BLOCK, BLOCK), self._whole
        else:
            last = _joined([fixed(_sliced(columns, length - left, left), left), pa.scalar(_padding(left))])
            key = self._padded
        return self._mac(_xor(_xor_both(state, last), key, count))

    def _stream(self, vector: Any, length: int, count: int) -> Any:
        """What each message is combined with: AES of a counter that begins with its IV."""
        first = _and(vector, _COUNTER_MASK, count)
        number, blocks = int.from_bytes(first, "big"), -(-length // BLOCK)
        ones = int.from_bytes((1).to_bytes(BLOCK, "big") * count, "big")
        counters = [first, *((number + n * ones).to_bytes(BLOCK * count, "big") for n in range(1, blocks))]
        stream = _joined([fixed(self._counter(each), BLOCK) for each in counters])
        return _sliced(fixed(stream, BLOCK * blocks), 0, length)


def _blocks(key: bytes) -> Any:
    """AES of each block of some bytes by itself. ECB is what the mode is built of, never what it is."""
    encrypt = Cipher(AES(key), ECB()).encryptor().update  # noqa: S305
    return lambda content: encrypt(memoryview(content).cast("B"))


def _doubled(block: bytes) -> bytes:
    number = int.from_bytes(block, "big") << 1
    reduced = number ^ (_REDUCTION if number >> 8 * BLOCK else 0)
    return (reduced & ((1 << 8 * BLOCK) - 1)).to_bytes(BLOCK, "big")


def _plain_xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _padding(left: int) -> bytes:
    return b"\x80" + bytes(BLOCK - left - 1)


def _bytes_of(column: pa.FixedSizeBinaryArray) -> Any:
    width = column.type.byte_width
    return column.buffers()[1].slice(column.offset * width, len(column) * width)


def _sliced(column: pa.FixedSizeBinaryArray, start: int, length: int) -> Any:
    """Those bytes of each value, one after the other."""
    if length == column.type.byte_width:
        return _bytes_of(column)
    return data_of(pc.binary_slice(column.cast(pa.binary()), start, start + length))


def _joined(parts: list[Any]) -> Any:
    """The parts of each row, one after the other."""
    columns = [part.cast(pa.binary()) if isinstance(part, pa.Array) else part for part in parts]
    return data_of(pc.binary_join_element_wise(*columns, pa.scalar(b"")))


def _words(content: Any) -> tuple[pa.Array, int]:
    buffer = pa.py_buffer(content)
    size = buffer.size
    if size % _WORD:
        buffer = pa.py_buffer(buffer.to_pybytes() + bytes(-size % _WORD))
    return pa.Array.from_buffers(pa.uint64(), buffer.size // _WORD, [None, buffer]), size


def _xor_both(left: Any, right: Any) -> Any:
    words, size = _words(left)
    mixed = pc.bit_wise_xor(words, _words(right)[0])
    return mixed.buffers()[1].slice(0, size)


def _xor(left: Any, pattern: bytes, count: int) -> Any:
    return _xor_both(left, pattern * count)


def _and(left: Any, pattern: bytes, count: int) -> Any:
    words, size = _words(left)
    kept = pc.bit_wise_and(words, _words(pattern * count)[0])
    return kept.buffers()[1].slice(0, size)
