"""Codes: only their own key decodes them, and no two domains have a code in common."""

from __future__ import annotations

import base64

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.base64url import from_base64url, to_base64url
from processors.codes import (
    KEY_BYTES,
    MESH,
    Cipher,
    CodeKind,
    KeyRing,
    case_codes,
    cases,
    domain_codes,
    household_codes,
    mesh_codes,
    person_codes,
)
from schemas.systems import DOMAINS
from tests.unit.processors.submissions import key_ring

KEYS = key_ring()
MESH_CIPHER = KEYS.cipher(MESH)
RESIDENTS = st.lists(st.from_regex("[0-9]{11}", fullmatch=True), min_size=1, max_size=5, unique=True)


@given(residents=RESIDENTS)
def test_every_domain_has_its_own_codes(residents: list[str]) -> None:
    """There are as many codes as persons and domains; each domain's key decodes its own, to the same mesh code."""
    mesh = person_codes(MESH_CIPHER, pa.array(residents))
    seen = set(mesh.to_pylist())
    for domain in DOMAINS:
        cipher = KEYS.cipher(domain)
        codes = domain_codes(cipher, mesh, CodeKind.PERSON)
        assert mesh_codes(cipher, codes, CodeKind.PERSON).equals(mesh)
        seen |= set(codes.to_pylist())
    assert len(seen) == len(residents) * (len(DOMAINS) + 1)


def test_encoding_a_column_equals_encoding_each_value() -> None:
    """Many values take another path through the code than a few."""
    values = pa.array([f"{number:011d}" for number in range(500)])
    one_by_one = [MESH_CIPHER.codes(values.slice(at, 1), CodeKind.PERSON)[0].as_py() for at in range(500)]
    assert MESH_CIPHER.codes(values, CodeKind.PERSON).to_pylist() == one_by_one


@given(residents=RESIDENTS)
def test_a_code_has_one_kind_and_one_key(residents: list[str]) -> None:
    """A person's code is no household's code; a code of another domain or a forged one is unknown."""
    mesh = person_codes(MESH_CIPHER, pa.array(residents))
    codes = domain_codes(KEYS.cipher("child"), mesh, CodeKind.PERSON)
    unknown = [None] * len(residents)
    assert mesh_codes(KEYS.cipher("child"), codes, CodeKind.HOUSEHOLD).to_pylist() == unknown
    assert mesh_codes(KEYS.cipher("care"), codes, CodeKind.PERSON).to_pylist() == unknown
    forged = pa.array([("A" if code[0] != "A" else "B") + code[1:] for code in codes.to_pylist()])
    assert mesh_codes(KEYS.cipher("child"), forged, CodeKind.PERSON).to_pylist() == unknown


@given(texts=st.lists(st.none() | st.text(max_size=80), max_size=5))
def test_any_other_text_is_an_unknown_code(texts: list[str | None]) -> None:
    """No text raises."""
    codes = pa.array(texts, pa.string())
    assert mesh_codes(KEYS.cipher("child"), codes, CodeKind.PERSON).null_count == len(texts)


def test_codes_survive_a_change_of_keys() -> None:
    """The newest key encodes; every key of the name decodes."""
    old, new = b"o" * KEY_BYTES, b"n" * KEY_BYTES
    values = pa.array(["42990000011", None, "42990000011"])
    before, after = (
        Cipher([old]).codes(values, CodeKind.PERSON),
        Cipher([new, old]).codes(values, CodeKind.PERSON),
    )
    assert before.to_pylist() != after.to_pylist()
    assert before[0] == before[2]
    for codes in (before, after):
        decoded = Cipher([new, old]).values(codes, CodeKind.PERSON).to_pylist()
        assert decoded == [b"42990000011", None, b"42990000011"]
    assert Cipher([old]).values(after, CodeKind.PERSON).null_count == 3


def test_household_codes_depend_on_the_municipality() -> None:
    """Municipalities use the same household numbers."""
    numbers = pa.array(["000000000001", "000000000001", None])
    codes = household_codes(MESH_CIPHER, pa.array(["131041", "012033", "131041"]), numbers)
    assert codes[0] != codes[1]
    assert codes[2].as_py() is None


@given(number=st.from_regex("[A-Za-z0-9-]{1,32}", fullmatch=True))
def test_every_domain_has_its_own_case_codes(number: str) -> None:
    """All have the same length, which would otherwise reveal the notice; only the domain's own key decodes them."""
    cipher = KEYS.cipher("portal")
    codes = case_codes(cipher, pa.array(["131041", None]), pa.array([number, None]))
    assert len(codes[0].as_py()) == 75
    municipality, notice = cases(cipher, codes)
    assert (municipality.to_pylist(), notice.to_pylist()) == (["131041", None], [number, None])
    assert cases(KEYS.cipher("nta"), codes)[0].null_count == 2


def test_digests_differ_by_purpose_and_key() -> None:
    """Without the key nobody can test guesses of the content."""
    content = pa.array(["a", "b", "a"])
    digests = KEYS.digests(content, "juki").to_pylist()
    assert digests[0] == digests[2] != digests[1]
    assert digests != KEYS.digests(content, "juki-cs").to_pylist()
    assert digests != key_ring(100).digests(content, "juki").to_pylist()


def test_a_key_ring_reveals_no_key_and_rejects_incomplete_ones() -> None:
    """Neither its representation nor its errors have a key."""
    assert "\\x01" not in repr(KEYS)
    for keys in ({"mesh": ()}, {"mesh": (b"secret",)}, {"mesh": (b"s" * 64,), "nta": (b"s" * 64,)}):
        with pytest.raises(ValueError, match=r"key") as error:
            KeyRing(keys)
        assert "sss" not in str(error.value)
        assert "secret" not in str(error.value)


@given(
    values=st.lists(st.none() | st.binary(max_size=30), max_size=6)
    | st.lists(st.binary(min_size=7, max_size=7))
)
def test_base64url_equals_the_library(values: list[bytes | None]) -> None:
    """Values of one or of many lengths are encoded and decoded."""
    library_texts = [None if v is None else base64.urlsafe_b64encode(v).rstrip(b"=").decode() for v in values]
    texts = to_base64url(pa.array(values, pa.binary()))
    assert texts.to_pylist() == library_texts
    assert from_base64url(texts).to_pylist() == values
    # The values of a slice don't begin where its buffer begins.
    assert from_base64url(texts.slice(1)).to_pylist() == values[1:]
    assert to_base64url(pa.array(values, pa.binary()).slice(1)).to_pylist() == library_texts[1:]


def test_only_canonical_base64url_is_decoded() -> None:
    """No two texts mean one code: stray bits at the end, padding and other characters are rejected."""
    mixed = pa.array(["QUI", "QUJ", "QUI=", "QU+I", "Q", "あいう"])
    assert from_base64url(mixed).to_pylist() == [b"AB", None, None, None, None, None]
    assert from_base64url(pa.array(["QUI", "QUJ"])).to_pylist() == [b"AB", None]
    assert from_base64url(pa.array(["QUI", "Q!I"])).to_pylist() == [b"AB", None]
    assert from_base64url(pa.array(["あい", "QUJDREVG"])).to_pylist() == [None, b"ABCDEF"]
