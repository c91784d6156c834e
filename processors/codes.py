"""Codes of persons, households and cases: AES-SIV (RFC 5297), deterministic, under a key of each domain.

One key makes codes of three kinds, kept apart by the associated data: no code of one kind is ever one of another.
A code bears no key id; whoever turns it back tries the keys of its name, newest first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from processors.base64url import data_of, fixed, from_base64url, one_length, to_base64url
from processors.columns import by_unique
from processors.siv import Siv

#: Fewer values than these cost less one by one: what is done once for a column takes as long as 128 of them.
_COLUMN_MIN: Final = 128
#: Bytes of every key: AES-256 in SIV takes two of 32; BLAKE2b takes keys up to 64.
KEY_BYTES: Final = 64

#: Name of the key of mesh codes, and of the digests of hand-overs. All other names are domains.
MESH: Final = "mesh"
DIGEST: Final = "digest"

_DIGEST_BYTES: Final = 20

#: Bytes of a mesh code: the synthetic IV, and a resident record code or a municipality/household number.
_MESH_CODE_BYTES: Final = {"person": 16 + 11, "household": 16 + 6 + 1 + 12}

#: Cases are padded to this, as the length of a notice's number would be the same in two domains.
_CASE_BYTES: Final = 40


class CodeKind(StrEnum):
    """What a code stands for: the associated data."""

    PERSON = "person"
    HOUSEHOLD = "household"
    CASE = "case"


class Cipher:
    """The keys of one name. Codes are made with the newest, and turned back with any of them."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        given = list(keys)
        self._keys, self._newest = [AESSIV(key) for key in given], Siv(given[0])

    def codes(self, values: pa.Array, kind: CodeKind) -> pa.Array:
        """Code (string) of each value (string or binary, not empty); null stays null."""
        return by_unique(values, lambda distinct: self._encrypted(distinct.cast(pa.binary()), kind))

    def values(self, codes: pa.Array, kind: CodeKind) -> pa.Array:
        """What each code stands for (binary); null where it isn't a code of this kind under one of the keys."""
        return by_unique(codes, lambda distinct: self._decrypted(from_base64url(distinct), kind))

    def _encrypted(self, values: pa.Array, kind: CodeKind) -> pa.Array:
        associated, length = kind.value.encode(), one_length(values)
        if length and len(values) >= _COLUMN_MIN:
            return to_base64url(self._newest.encrypted(fixed(data_of(values), length), associated))
        encrypt = self._keys[0].encrypt
        return to_base64url(
            pa.array([encrypt(value, [associated]) for value in values.to_pylist()], pa.binary())
        )

    def _decrypted(self, raw: pa.Array, kind: CodeKind) -> pa.Array:
        associated = [kind.value.encode()]
        return pa.array([self._opened(code, associated) for code in raw.to_pylist()], pa.binary())

    def _opened(self, code: bytes | None, associated: list[bytes]) -> bytes | None:
        if code is None:
            return None
        for key in self._keys:
            try:
                return key.decrypt(code, associated)
            except (InvalidTag, ValueError):
                continue
        return None


@dataclass(frozen=True)
class KeyRing:
    """Keys by name (`mesh`, `digest`, each domain), each list newest first; never shown.

    Raises ValueError where a name has no key, or a key isn't of `KEY_BYTES`, or stands twice.
    """

    keys: Mapping[str, tuple[bytes, ...]] = field(repr=False)

    def __post_init__(self) -> None:
        for name, keys in self.keys.items():
            if not keys or any(len(key) != KEY_BYTES for key in keys):
                raise ValueError(f"keys of {name}: at least one is needed, each of {KEY_BYTES} bytes")
        every = [key for keys in self.keys.values() for key in keys]
        if len(set(every)) < len(every):
            raise ValueError("a key stands twice in the key ring")

    def cipher(self, name: str) -> Cipher:
        """The cipher of `mesh` or a domain; KeyError where the ring has no such name."""
        return Cipher(self.keys[name])

    def digests(self, contents: pa.Array, purpose: str) -> pa.Array:
        """Keyed digest (hex, 40 characters) of each string; two purposes (at most 16 bytes) give two digests."""
        base = hashlib.blake2b(
            key=self.keys[DIGEST][0], digest_size=_DIGEST_BYTES, person=purpose.encode(), usedforsecurity=True
        )
        found = []
        for content in contents.cast(pa.binary()).to_pylist():
            digest = base.copy()
            digest.update(content)
            found.append(digest.hexdigest())
        return pa.array(found, pa.string())


def person_codes(mesh: Cipher, residents: pa.Array) -> pa.Array:
    """Mesh codes of persons from resident record codes (住民票コード)."""
    return mesh.codes(residents, CodeKind.PERSON)


def household_codes(mesh: Cipher, municipalities: pa.Array, numbers: pa.Array) -> pa.Array:
    """Mesh codes of households: a number is one municipality's own. Null where the number is."""
    return mesh.codes(pc.binary_join_element_wise(municipalities, numbers, "/"), CodeKind.HOUSEHOLD)


def domain_codes(domain: Cipher, mesh_codes: pa.Array, kind: CodeKind) -> pa.Array:
    """A domain's own codes of what mesh codes stand for; null where it isn't a mesh code's form."""

    def of_distinct(distinct: pa.Array) -> pa.Array:
        raw = from_base64url(distinct)
        formed = pc.equal(pc.binary_length(raw), _MESH_CODE_BYTES[kind])
        return domain.codes(pc.if_else(formed, raw, None), kind)

    return by_unique(mesh_codes, of_distinct)


def mesh_codes(domain: Cipher, codes: pa.Array, kind: CodeKind) -> pa.Array:
    """The mesh codes behind a domain's own codes; null where one is unknown or forged."""

    def of_distinct(distinct: pa.Array) -> pa.Array:
        return to_base64url(domain.values(distinct, kind))

    return by_unique(codes, of_distinct)


def case_codes(domain: Cipher, municipalities: pa.Array, notices: pa.Array) -> pa.Array:
    """A domain's own codes of cases; null where there is none."""
    cases = pc.binary_join_element_wise(municipalities, notices, "/")
    return domain.codes(pc.ascii_rpad(cases, _CASE_BYTES, " "), CodeKind.CASE)


def cases(domain: Cipher, codes: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Municipality and notice of each case behind a domain's own codes; null where unknown or forged."""
    plain = pc.ascii_rtrim(domain.values(codes, CodeKind.CASE).cast(pa.string()), " ")
    return pc.utf8_slice_codeunits(plain, 0, 6), pc.utf8_slice_codeunits(plain, 7)
