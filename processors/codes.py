"""Codes of persons, households and cases: AES-SIV (RFC 5297), deterministic, under a key of each domain.

One key encrypts codes of three kinds, separated by their associated data: no code of one kind is valid as another.
A code has no key ID, so decryption tries the keys of the name, newest first.
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

from processors.base64url import common_length, data_buffer, fixed_width, from_base64url, to_base64url
from processors.columns import map_distinct
from processors.siv import Siv

#: For fewer values, encrypting one by one is faster: the fixed cost of a column equals 128 single encryptions.
_COLUMN_MIN: Final = 128
#: Bytes of every key: AES-256 in SIV mode needs two keys of 32 bytes; BLAKE2b accepts keys of up to 64.
KEY_BYTES: Final = 64

#: Names of the keys for mesh codes and for digests of submissions. Every other name is a domain.
MESH: Final = "mesh"
DIGEST: Final = "digest"

_DIGEST_BYTES: Final = 20

#: Bytes of a mesh code: the synthetic IV, then a resident record code or `municipality/household number`.
_MESH_CODE_BYTES: Final = {"person": 16 + 11, "household": 16 + 6 + 1 + 12}

#: Cases are padded to this many bytes: otherwise the length of a notice's number would show in every domain's code,
#: and two domains could join their rows by it.
_CASE_BYTES: Final = 40


class CodeKind(StrEnum):
    """The kind of thing that a code identifies; its value is the associated data."""

    PERSON = "person"
    HOUSEHOLD = "household"
    CASE = "case"


class Cipher:
    """The keys of one name, newest first: the newest encrypts, any of them decrypts."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        newest_first = list(keys)
        self._keys, self._newest = [AESSIV(key) for key in newest_first], Siv(newest_first[0])

    def codes(self, values: pa.Array, kind: CodeKind) -> pa.Array:
        """Return the code (string) of each value (string or binary, not empty); null stays null."""
        return map_distinct(values, lambda distinct: self._encrypt(distinct.cast(pa.binary()), kind))

    def values(self, codes: pa.Array, kind: CodeKind) -> pa.Array:
        """Return the value (binary) of each code; null if it isn't a code of this kind under one of the keys."""
        return map_distinct(codes, lambda distinct: self._decrypt(from_base64url(distinct), kind))

    def _encrypt(self, values: pa.Array, kind: CodeKind) -> pa.Array:
        associated_data, length = kind.value.encode(), common_length(values)
        if length and len(values) >= _COLUMN_MIN:
            column = fixed_width(data_buffer(values), length)
            return to_base64url(self._newest.encrypt_column(column, associated_data))
        encrypt = self._keys[0].encrypt
        return to_base64url(
            pa.array([encrypt(value, [associated_data]) for value in values.to_pylist()], pa.binary())
        )

    def _decrypt(self, raw_codes: pa.Array, kind: CodeKind) -> pa.Array:
        associated_data = [kind.value.encode()]
        return pa.array(
            [self._decrypt_one(code, associated_data) for code in raw_codes.to_pylist()], pa.binary()
        )

    def _decrypt_one(self, code: bytes | None, associated_data: list[bytes]) -> bytes | None:
        if code is None:
            return None
        for key in self._keys:
            try:
                return key.decrypt(code, associated_data)
            except (InvalidTag, ValueError):
                continue
        return None


@dataclass(frozen=True)
class KeyRing:
    """Keys by name (`mesh`, `digest`, each domain), newest first. Its repr shows no key.

    Raises ValueError if a name has no key, a key isn't of `KEY_BYTES` bytes, or a key occurs twice.
    """

    keys: Mapping[str, tuple[bytes, ...]] = field(repr=False)

    def __post_init__(self) -> None:
        for name, keys in self.keys.items():
            if not keys or any(len(key) != KEY_BYTES for key in keys):
                raise ValueError(f"{name} needs at least one key in the key ring, each of {KEY_BYTES} bytes")
        all_keys = [key for keys in self.keys.values() for key in keys]
        if len(set(all_keys)) < len(all_keys):
            raise ValueError("a key occurs twice in the key ring; each key must be unique")

    def cipher(self, name: str) -> Cipher:
        """Return the cipher of `mesh` or a domain. Raise KeyError if the ring has no such name."""
        return Cipher(self.keys[name])

    def digests(self, contents: pa.Array, purpose: str) -> pa.Array:
        """Return the keyed digest (hex, 40 characters) of each string.

        `purpose` has at most 16 bytes; the same content has another digest for another purpose.
        """
        base = hashlib.blake2b(
            key=self.keys[DIGEST][0], digest_size=_DIGEST_BYTES, person=purpose.encode(), usedforsecurity=True
        )
        hex_digests = []
        for content in contents.cast(pa.binary()).to_pylist():
            digest = base.copy()
            digest.update(content)
            hex_digests.append(digest.hexdigest())
        return pa.array(hex_digests, pa.string())


def person_codes(mesh: Cipher, residents: pa.Array) -> pa.Array:
    """Return the mesh codes of persons from their resident record codes (住民票コード)."""
    return mesh.codes(residents, CodeKind.PERSON)


def household_codes(mesh: Cipher, municipalities: pa.Array, numbers: pa.Array) -> pa.Array:
    """Return the mesh codes of households; null where the number is null.

    The municipality is part of the code, because two municipalities may use the same household number.
    """
    return mesh.codes(pc.binary_join_element_wise(municipalities, numbers, "/"), CodeKind.HOUSEHOLD)


def domain_codes(domain: Cipher, mesh_codes: pa.Array, kind: CodeKind) -> pa.Array:
    """Return a domain's codes for mesh codes; null where a value doesn't have the length of a mesh code."""

    def convert(distinct: pa.Array) -> pa.Array:
        raw = from_base64url(distinct)
        has_length = pc.equal(pc.binary_length(raw), _MESH_CODE_BYTES[kind])
        return domain.codes(pc.if_else(has_length, raw, None), kind)

    return map_distinct(mesh_codes, convert)


def mesh_codes(domain: Cipher, codes: pa.Array, kind: CodeKind) -> pa.Array:
    """Return the mesh codes for a domain's codes; null where one is unknown or forged."""

    def convert(distinct: pa.Array) -> pa.Array:
        return to_base64url(domain.values(distinct, kind))

    return map_distinct(codes, convert)


def case_codes(domain: Cipher, municipalities: pa.Array, notices: pa.Array) -> pa.Array:
    """Return a domain's codes of cases; null where there is no case."""
    cases = pc.binary_join_element_wise(municipalities, notices, "/")
    return domain.codes(pc.ascii_rpad(cases, _CASE_BYTES, " "), CodeKind.CASE)


def cases(domain: Cipher, codes: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return municipality and notice number for a domain's codes of cases; null where unknown or forged."""
    plain = pc.ascii_rtrim(domain.values(codes, CodeKind.CASE).cast(pa.string()), " ")
    return pc.utf8_slice_codeunits(plain, 0, 6), pc.utf8_slice_codeunits(plain, 7)
