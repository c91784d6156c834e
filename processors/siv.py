"""AES-SIV (RFC 5297), deterministic encryption, for a whole column at once, without Python code per value.

All values of a column have the same length and the same associated data; the result is the same as if each value were
encrypted by itself. AES encrypts one block of all values in one call; Arrow's kernels do the rest.
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

from processors.base64url import data_buffer, fixed_width

#: Bytes of a block, and of the synthetic IV before each ciphertext.
BLOCK: Final = 16
_WORD: Final = 8
#: The initial counter is the IV with two bits cleared, so counting never carries beyond the lowest 32 bits.
_COUNTER_MASK: Final = bytes.fromhex("ffffffffffffffff7fffffff7fffffff")
_REDUCTION: Final = 0x87


class Siv:
    """A key of 32, 48 or 64 bytes: the first half authenticates, the second encrypts."""

    def __init__(self, key: bytes) -> None:
        half = len(key) // 2
        self._mac_key = AES(key[:half])
        self._encrypt_for_mac, self._encrypt_counters = _block_cipher(key[:half]), _block_cipher(key[half:])
        zero = self._encrypt_for_mac(bytes(BLOCK))
        self._full_block_subkey = _double(zero)
        self._padded_block_subkey = _double(self._full_block_subkey)

    def encrypt_column(self, values: pa.Array, associated_data: bytes) -> pa.FixedSizeBinaryArray:
        """Return IV and ciphertext of each value.

        `values` have a fixed width. Raise ValueError if the width is 0 or a value is null.
        """
        length, count = values.type.byte_width, len(values)
        if not length or values.null_count:
            raise ValueError("a column to encrypt must have a fixed width above 0 and no null")
        if not count:
            return pa.array([], pa.binary(BLOCK + length))
        plain = _bytes_of(values)
        ivs = self._ivs(plain, associated_data, length, count)
        encrypted = _xor(plain, self._keystream(ivs, length, count))
        return fixed_width(_concat([fixed_width(ivs, BLOCK), fixed_width(encrypted, length)]), BLOCK + length)

    def _ivs(self, plain: Any, associated_data: bytes, length: int, count: int) -> Any:
        """Return S2V (RFC 5297, 2.4) of the associated data and each message."""
        prefix = self._s2v_prefix(associated_data)
        if length >= BLOCK:
            return self._macs(_xor_each(plain, bytes(length - BLOCK) + prefix, count), length, count)
        padded = _concat([fixed_width(plain, length), pa.scalar(_padding(length))])
        return self._macs(_xor_each(padded, _double(prefix), count), BLOCK, count)

    @lru_cache(maxsize=16)  # noqa: B019 - a mesh has a dozen keys, for as long as it runs
    def _s2v_prefix(self, associated_data: bytes) -> bytes:
        """Return the part of S2V that depends on the associated data alone, so it is the same for all columns."""
        zero = _double(self._mac(bytes(BLOCK)))
        mac = self._mac(associated_data)
        return bytes(a ^ b for a, b in zip(zero, mac, strict=True))

    def _mac(self, message: bytes) -> bytes:
        """Return the CMAC of one message."""
        mac = CMAC(self._mac_key)
        mac.update(message)
        return mac.finalize()

    def _macs(self, messages: Any, length: int, count: int) -> Any:
        """Return the CMAC (NIST SP 800-38B) of each of `count` concatenated messages of `length` bytes."""
        column = fixed_width(messages, length)
        full_blocks, rest = divmod(length, BLOCK)
        state: Any = bytes(BLOCK * count)
        for number in range(full_blocks - (not rest)):
            state = self._encrypt_for_mac(_xor(state, _slice_each(column, number * BLOCK, BLOCK)))
        if not rest:
            last, subkey = _slice_each(column, length - BLOCK, BLOCK), self._full_block_subkey
        else:
            tail = fixed_width(_slice_each(column, length - rest, rest), rest)
            last, subkey = _concat([tail, pa.scalar(_padding(rest))]), self._padded_block_subkey
        return self._encrypt_for_mac(_xor_each(_xor(state, last), subkey, count))

    def _keystream(self, ivs: Any, length: int, count: int) -> Any:
        """Return `length` bytes per message: AES of a counter that starts with the message's IV."""
        first = _and_each(ivs, _COUNTER_MASK, count)
        # One large integer holds the counters of all messages: adding `ones` increments each of them.
        number, blocks = int.from_bytes(first, "big"), -(-length // BLOCK)
        ones = int.from_bytes((1).to_bytes(BLOCK, "big") * count, "big")
        counters = [first, *((number + n * ones).to_bytes(BLOCK * count, "big") for n in range(1, blocks))]
        keystream = _concat([fixed_width(self._encrypt_counters(block), BLOCK) for block in counters])
        return _slice_each(fixed_width(keystream, BLOCK * blocks), 0, length)


def _block_cipher(key: bytes) -> Any:
    """Return a function that encrypts each block of a buffer by itself: ECB as a building block of SIV."""
    encrypt = Cipher(AES(key), ECB()).encryptor().update  # noqa: S305
    return lambda content: encrypt(memoryview(content).cast("B"))


def _double(block: bytes) -> bytes:
    """Return the block multiplied by x in GF(2^128) (RFC 5297, 2.3)."""
    number = int.from_bytes(block, "big") << 1
    reduced = number ^ (_REDUCTION if number >> 8 * BLOCK else 0)
    return (reduced & ((1 << 8 * BLOCK) - 1)).to_bytes(BLOCK, "big")


def _padding(length: int) -> bytes:
    """Return the bytes that fill a message of `length` bytes, less than a block, up to a block."""
    return b"\x80" + bytes(BLOCK - length - 1)


def _bytes_of(column: pa.FixedSizeBinaryArray) -> Any:
    width = column.type.byte_width
    return column.buffers()[1].slice(column.offset * width, len(column) * width)


def _slice_each(column: pa.FixedSizeBinaryArray, start: int, length: int) -> Any:
    """Return `length` bytes from `start` of each value, concatenated."""
    if length == column.type.byte_width:
        return _bytes_of(column)
    return data_buffer(pc.binary_slice(column.cast(pa.binary()), start, start + length))


def _concat(parts: list[Any]) -> Any:
    """Return the concatenated rows, each of them the concatenation of its parts (columns or scalars)."""
    columns = [part.cast(pa.binary()) if isinstance(part, pa.Array) else part for part in parts]
    return data_buffer(pc.binary_join_element_wise(*columns, pa.scalar(b"")))


def _words(content: Any) -> tuple[pa.Array, int]:
    """Return the bytes as 64-bit words, padded with zeros, and their number of bytes."""
    buffer = pa.py_buffer(content)
    size = buffer.size
    if size % _WORD:
        buffer = pa.py_buffer(buffer.to_pybytes() + bytes(-size % _WORD))
    return pa.Array.from_buffers(pa.uint64(), buffer.size // _WORD, [None, buffer]), size


def _xor(left: Any, right: Any) -> Any:
    words, size = _words(left)
    return pc.bit_wise_xor(words, _words(right)[0]).buffers()[1].slice(0, size)


def _xor_each(values: Any, pattern: bytes, count: int) -> Any:
    return _xor(values, pattern * count)


def _and_each(values: Any, pattern: bytes, count: int) -> Any:
    words, size = _words(values)
    return pc.bit_wise_and(words, _words(pattern * count)[0]).buffers()[1].slice(0, size)
