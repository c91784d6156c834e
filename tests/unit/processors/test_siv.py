"""AES-SIV of a column: what the library gives for each value by itself."""

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
def test_a_column_is_the_librarys_values(
    key: bytes, values: list[bytes], associated: bytes, skipped: int
) -> None:
    """Of every length and key, and of a part of a column too."""
    if not values:
        return
    column = pa.array(values, pa.binary(len(values[0]))).slice(skipped)
    library = AESSIV(key)
    wanted = [library.encrypt(value, [associated]) for value in values[skipped:]]
    assert Siv(key).encrypted(column, associated).to_pylist() == wanted


def test_the_counter_carries() -> None:
    """Vectors whose last bytes are all ones: found among many."""
    library, key = AESSIV(bytes(range(64))), bytes(range(64))
    values = [number.to_bytes(40, "big") for number in range(3_000)]
    found = Siv(key).encrypted(pa.array(values, pa.binary(40)), b"case").to_pylist()
    assert any(code[15] in (254, 255) for code in found)
    assert found == [library.encrypt(value, [b"case"]) for value in values]


def test_a_vector_of_the_standard() -> None:
    """RFC 5297, A.1: one associated string, 14 bytes of plaintext."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    associated = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plain = pa.array([bytes.fromhex("112233445566778899aabbccddee")], pa.binary(14))
    wanted = "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    assert Siv(key).encrypted(plain, associated)[0].as_py().hex() == wanted


def test_other_columns_are_refused() -> None:
    """Null and empty values have no place in it."""
    for column in (pa.array([b"a", None], pa.binary(1)), pa.array([b"", b""], pa.binary(0))):
        with pytest.raises(ValueError, match="one width"):
            Siv(bytes(64)).encrypted(column, b"person")
