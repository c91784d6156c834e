"""Sealing of submissions by their submitter: with a public key, so who seals can't open what others submit.

A box is a fresh public key (X25519), and AES-SIV of the padded content with a key that both sides derive. Only intake
has the private key. The associated data is the input topic: a box can't be submitted for another municipality.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import orjson
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from schemas.catalogue import catalogue
from schemas.systems.model import SEALED
from schemas.tables import rows_from_table, table_from_rows
from streams.high_level import HighSealer
from streams.sealing import SealedError

#: Fields of a submission that stay in clear: where it was read.
_IN_CLEAR: Final = ("file", "line")
#: Fault of a submission whose box can't be opened.
FAULT: Final = "sealed"

_PUBLIC_BYTES: Final = 32
_SIV_KEY_BYTES: Final = 64
#: Purposes of derived keys; fixed: what was submitted depends on them.
_PRIVATE_KEY: Final = b"submission private key"
_BOX_KEY: Final = b"submission box"


class SubmissionSealer:
    """Seals submissions for intake, whose public key it has (32 bytes)."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def seal(self, content: bytes, topic: str) -> str:
        """Return a box of the content for an input topic; another one each time."""
        fresh = X25519PrivateKey.generate()
        public = fresh.public_key().public_bytes_raw()
        shared = fresh.exchange(X25519PublicKey.from_public_bytes(self._public_key))
        box = _sealer(shared, public, self._public_key).seal(content, topic)
        return base64.urlsafe_b64encode(public).decode() + box

    def sealed_table(self, topic: str, table: pa.Table) -> pa.Table:
        """Return submissions with everything in a box but where they were read."""
        boxes = [self.seal(_json(row), topic) for row in rows_from_table(table)]
        return table.select(_IN_CLEAR).append_column(SEALED, pa.array(boxes, pa.string()))


class SubmissionOpener:
    """Opens submissions with private keys that are derived from the keys of the high level, newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [
            X25519PrivateKey.from_private_bytes(_derived(key, b"", _PRIVATE_KEY, 32)) for key in keys
        ]

    @property
    def public_key(self) -> bytes:
        """The public key of the newest private key."""
        return self._keys[0].public_key().public_bytes_raw()

    def open(self, box: str, topic: str) -> bytes:
        """Return the content that was sealed for this input topic; raise SealedError if no key opens the box."""
        length = len(base64.urlsafe_b64encode(bytes(_PUBLIC_BYTES)))
        for key in self._keys:
            try:
                public = base64.b64decode(box[:length], altchars=b"-_", validate=True)
                shared = key.exchange(X25519PublicKey.from_public_bytes(public))
            except (binascii.Error, ValueError):
                raise SealedError("this is no box") from None
            try:
                return _sealer(shared, public, key.public_key().public_bytes_raw()).open(box[length:], topic)
            except SealedError:
                continue
        raise SealedError("no key opens this content, or it was sealed for another topic")

    def opened_table(self, schema: str, topics: Sequence[str], table: pa.Table) -> pa.Table:
        """Return submissions of these topics with the content of the boxes in place of them.

        One that can't be opened keeps its box and has a fault, as one that its source could not parse.
        """
        if table.column(SEALED).null_count == table.num_rows:
            return table
        rows = rows_from_table(table)
        opened = [
            row if row[SEALED] is None else self.opened_row(schema, topic, row)
            for topic, row in zip(topics, rows, strict=True)
        ]
        return table_from_rows(schema, opened)

    def opened_row(self, schema: str, topic: str, row: dict[str, Any]) -> dict[str, Any]:
        """Return a sealed submission as it would be in clear, with the fields of the schema."""
        types = {field.name: field.type for field in catalogue().arrow_schema(schema)}
        place: dict[str, Any] = {name: row[name] for name in _IN_CLEAR}
        empty: dict[str, Any] = dict.fromkeys(types)
        try:
            content = orjson.loads(self.open(row[SEALED], topic))
        except (SealedError, ValueError):
            content = None
        if not isinstance(content, dict):
            return {**empty, **place, SEALED: row[SEALED], "fault": FAULT}
        known = {name: value for name, value in content.items() if name in types and name != SEALED}
        if not all(_is_of(types[name], value) for name, value in known.items()):
            return {**empty, **place, SEALED: row[SEALED], "fault": FAULT}
        return {**empty, **known, **place}


def _is_of(type_: pa.DataType, value: Any) -> bool:
    """Return whether a value of JSON is one of a field: a text, or a list of texts."""
    if pa.types.is_list(type_):
        return value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value))
    return value is None or isinstance(value, str)


def _json(row: dict[str, Any]) -> bytes:
    return orjson.dumps({n: value for n, value in row.items() if value is not None and n not in _IN_CLEAR})


def _sealer(shared: bytes, fresh: bytes, public_key: bytes) -> HighSealer:
    return HighSealer([_derived(shared, fresh + public_key, _BOX_KEY, _SIV_KEY_BYTES)])


def _derived(secret: bytes, salt: bytes, purpose: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, purpose).derive(secret)
