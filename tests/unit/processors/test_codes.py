"""Codes: turned back by their own key alone, and never the same in two domains."""

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
def test_no_domain_has_anothers_code(residents: list[str]) -> None:
    """As many codes as persons and domains; each domain's key turns its own back, to the same mesh code."""
    mesh = person_codes(MESH_CIPHER, pa.array(residents))
    seen = set(mesh.to_pylist())
    for domain in DOMAINS:
        cipher = KEYS.cipher(domain)
        codes = domain_codes(cipher, mesh, CodeKind.PERSON)
        assert mesh_codes(cipher, codes, CodeKind.PERSON).equals(mesh)
        seen |= set(codes.to_pylist())
    assert len(seen) == len(residents) * (len(DOMAINS) + 1)


def test_many_codes_are_what_each_is_alone() -> None:
    """A column of many values goes another way than a few do, to the same codes."""
    values = pa.array([f"{number:011d}" for number in range(500)])
    alone = [MESH_CIPHER.codes(values.slice(at, 1), CodeKind.PERSON)[0].as_py() for at in range(500)]
    assert MESH_CIPHER.codes(values, CodeKind.PERSON).to_pylist() == alone


@given(residents=RESIDENTS)
def test_a_code_is_of_one_kind_and_one_key(residents: list[str]) -> None:
    """A person's code is no household's; another domain's code is unknown; so is one that was tampered with."""
    mesh = person_codes(MESH_CIPHER, pa.array(residents))
    codes = domain_codes(KEYS.cipher("child"), mesh, CodeKind.PERSON)
    nothing = [None] * len(residents)
    assert mesh_codes(KEYS.cipher("child"), codes, CodeKind.HOUSEHOLD).to_pylist() == nothing
    assert mesh_codes(KEYS.cipher("care"), codes, CodeKind.PERSON).to_pylist() == nothing
    forged = pa.array([("A" if code[0] != "A" else "B") + code[1:] for code in codes.to_pylist()])
    assert mesh_codes(KEYS.cipher("child"), forged, CodeKind.PERSON).to_pylist() == nothing


@given(texts=st.lists(st.none() | st.text(max_size=80), max_size=5))
def test_what_is_no_code_is_unknown(texts: list[str | None]) -> None:
    """Any text; nothing raises."""
    given_codes = pa.array(texts, pa.string())
    assert mesh_codes(KEYS.cipher("child"), given_codes, CodeKind.PERSON).null_count == len(texts)


def test_codes_made_before_a_change_of_keys_are_still_known() -> None:
    """The newest key makes codes; every key of the name turns them back."""
    old, new = b"o" * KEY_BYTES, b"n" * KEY_BYTES
    values = pa.array(["42990000011", None, "42990000011"])
    before, after = (
        Cipher([old]).codes(values, CodeKind.PERSON),
        Cipher([new, old]).codes(values, CodeKind.PERSON),
    )
    assert before.to_pylist() != after.to_pylist()
    assert before[0] == before[2]
    for codes in (before, after):
        back = Cipher([new, old]).values(codes, CodeKind.PERSON).to_pylist()
        assert back == [b"42990000011", None, b"42990000011"]
    assert Cipher([old]).values(after, CodeKind.PERSON).null_count == 3


def test_a_household_number_is_one_municipalitys_own() -> None:
    """Others use the same numbers."""
    numbers = pa.array(["000000000001", "000000000001", None])
    codes = household_codes(MESH_CIPHER, pa.array(["131041", "012033", "131041"]), numbers)
    assert codes[0] != codes[1]
    assert codes[2].as_py() is None


@given(number=st.from_regex("[0-9]{5}-[0-9]{1,20}", fullmatch=True))
def test_a_case_has_a_code_of_its_domain(number: str) -> None:
    """All of one length, which would else be the same in two domains; known back in its own alone."""
    cipher = KEYS.cipher("portal")
    codes = case_codes(cipher, pa.array(["131041", None]), pa.array([number, None]))
    assert len(codes[0].as_py()) == 75
    municipality, notice = cases(cipher, codes)
    assert (municipality.to_pylist(), notice.to_pylist()) == (["131041", None], [number, None])
    assert cases(KEYS.cipher("nta"), codes)[0].null_count == 2


def test_digests_differ_by_purpose_and_key() -> None:
    """So that nobody without the key can try out contents."""
    content = pa.array(["a", "b", "a"])
    digests = KEYS.digests(content, "juki").to_pylist()
    assert digests[0] == digests[2] != digests[1]
    assert digests != KEYS.digests(content, "juki-cs").to_pylist()
    assert digests != key_ring(100).digests(content, "juki").to_pylist()


def test_a_key_ring_shows_no_key_and_takes_no_half_one() -> None:
    """Neither in its representation nor in its errors."""
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
def test_base64url_is_the_librarys(values: list[bytes | None]) -> None:
    """One at a time or together, of one length or of many; and back."""
    plain = [None if v is None else base64.urlsafe_b64encode(v).rstrip(b"=").decode() for v in values]
    texts = to_base64url(pa.array(values, pa.binary()))
    assert texts.to_pylist() == plain
    assert from_base64url(texts).to_pylist() == values
    # A slice of a column begins elsewhere than the bytes below it.
    assert from_base64url(texts.slice(1)).to_pylist() == values[1:]
    assert to_base64url(pa.array(values, pa.binary()).slice(1)).to_pylist() == plain[1:]


def test_only_the_canonical_text_is_read() -> None:
    """Two texts never stand for one code: stray bits at the end, padding and other letters are refused."""
    mixed = pa.array(["QUI", "QUJ", "QUI=", "QU+I", "Q", "あいう"])
    assert from_base64url(mixed).to_pylist() == [b"AB", None, None, None, None, None]
    assert from_base64url(pa.array(["QUI", "QUJ"])).to_pylist() == [b"AB", None]
    assert from_base64url(pa.array(["QUI", "Q!I"])).to_pylist() == [b"AB", None]
    assert from_base64url(pa.array(["あい", "QUJDREVG"])).to_pylist() == [None, b"ABCDEF"]
