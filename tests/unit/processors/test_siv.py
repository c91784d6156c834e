"""AES-SIV of a column, compared with the library's result for each value."""

from __future__ import annotations

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import example, given
from hypothesis import strategies as st

from processors.siv import Siv


@given(
    key=st.sampled_from([32, 48, 64]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    values=st.integers(1, 70).flatmap(
        lambda length: st.lists(st.binary(min_size=length, max_size=length), max_size=5)
    ),
    associated=st.sampled_from(
        [b"person", b"household", b"", b"sixteen bytes 16", b"more than one block of it"]
    ),
    skipped=st.integers(0, 2),
)
@example(key=bytes(64), values=[bytes(16), bytes([255]) * 16], associated=b"case", skipped=0)
def test_a_column_equals_the_library(
    key: bytes, values: list[bytes], associated: bytes, skipped: int
) -> None:
    """Values of every length and key, and a slice of a column, are encrypted."""
    if not values:
        return
    column = pa.array(values, pa.binary(len(values[0]))).slice(skipped)
    library = AESSIV(key)
    expected = [library.encrypt(value, [associated]) for value in values[skipped:]]
    assert Siv(key).encrypt_column(column, associated).to_pylist() == expected


def test_the_counter_carries() -> None:
    """Among many ciphertexts are some whose counter begins with its last byte near overflow."""
    library, key = AESSIV(bytes(range(64))), bytes(range(64))
    values = [number.to_bytes(40, "big") for number in range(3_000)]
    codes = Siv(key).encrypt_column(pa.array(values, pa.binary(40)), b"case").to_pylist()
    assert any(code[15] in (254, 255) for code in codes)
    assert codes == [library.encrypt(value, [b"case"]) for value in values]


def test_the_test_vector_of_the_standard() -> None:
    """RFC 5297, A.1: one associated string, 14 bytes of plaintext."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    associated = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plain = pa.array([bytes.fromhex("112233445566778899aabbccddee")], pa.binary(14))
    expected = "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    assert Siv(key).encrypt_column(plain, associated)[0].as_py().hex() == expected


def test_columns_with_null_or_empty_values_are_rejected() -> None:
    """Raise ValueError."""
    for column in (pa.array([b"a", None], pa.binary(1)), pa.array([b"", b""], pa.binary(0))):
        with pytest.raises(ValueError, match="fixed width"):
            Siv(bytes(64)).encrypt_column(column, b"person")
