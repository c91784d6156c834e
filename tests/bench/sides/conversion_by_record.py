"""Conversion a record at a time, with fastavro and a dict per record. It writes the same records."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from infra.apply.installation import Installation
from infra.keys import load_keys
from processors.codes import KeyRing
from processors.readings import roman
from schemas.reasons import Reason
from schemas.systems import DOMAINS, Domain
from schemas.topics import change_topic, disclosure_topic, domain_topic
from tests.bench.side import Task
from tests.bench.sides import loop
from tests.bench.sides.avro import Avro
from tests.bench.timing import Run, Stopwatch

_DAY_MS: Final = 86_400_000
_CASE_BYTES: Final = 40
_EPOCH: Final = date(1970, 1, 1)


def run(task: Task) -> Run:
    """Run conversion. Options: `domain`, `prefix` of the topics to produce to."""
    installation = Installation.of_settings()
    domain = DOMAINS[task.options["domain"]]
    keys, avro = load_keys(installation.key_file), Avro(installation)
    by_record = ConversionByRecord(domain, keys, avro, task.options["prefix"])
    watch = Stopwatch(task.records, task.warm_up)
    return loop.run("by-record", [change_topic(domain.id)], by_record.process_batch, watch)


class ConversionByRecord:
    """Conversion of one domain."""

    def __init__(self, domain: Domain, keys: KeyRing, avro: Avro, prefix: str) -> None:
        self._domain, self._avro, self._cipher = domain, avro, AESSIV(keys.keys[domain.id][0])
        self._topics = prefix + domain_topic(domain.id), prefix + disclosure_topic(domain.id)

    def process_batch(self, messages: Sequence[Any]) -> Iterator[loop.ProduceArguments]:
        """Yield the record for the domain and the disclosure of each change."""
        for message in messages:
            yield from self._convert(self._avro.read("domain-change", message.value()))

    def _convert(self, change: Mapping[str, Any]) -> Iterator[loop.ProduceArguments]:
        record = self._domain_record(change)
        key = record["code"].encode()
        days = (change["effective_on"] - _EPOCH).days
        for topic, name, content in (
            (self._topics[0], self._domain.event, record),
            (self._topics[1], "disclosure", self._disclosure(change, record)),
        ):
            yield topic, self._avro.write(name, content), key, -1, max(1, days * _DAY_MS)

    def _domain_record(self, change: Mapping[str, Any]) -> dict[str, Any]:
        facts, case = change["facts"] or {}, change["case"]
        copied = {name: change[name] for name in ("entity", "op", "revision", "municipality", "effective_on")}
        person = {
            "status": change["status"],
            "name": facts.get("name"),
            "kana": facts.get("kana"),
            "roman": roman(facts["kana"]) if facts.get("kana") else None,
            "birth_date": facts.get("birth_date"),
            "address": None if change["status"] == "closed" else facts.get("address"),
            "household_code": self._code(_code_bytes(facts["household"]), b"household")
            if facts.get("household")
            else None,
            "relationship": facts.get("relationship"),
        }
        return {
            **copied,
            "code": self._code(_code_bytes(change["person"]), b"person"),
            "case_code": self._case_code(case) if case else None,
            "person": person,
        }

    def _disclosure(self, change: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
        copied = {
            name: record[name]
            for name in ("entity", "revision", "municipality", "effective_on", "code", "case_code")
        }
        reason = Reason(change["reason"]) if change["reason"] else None
        fields = [name for name in self._domain.columns if record["person"][name] is not None]
        basis = self._domain.basis(change["entity"], reason)
        moment = time.time_ns() // 1_000_000
        return {
            **copied,
            "domain": self._domain.id,
            "fields": fields,
            "legal_basis": basis,
            "disclosed_at": moment,
        }

    def _case_code(self, case: Mapping[str, str]) -> str:
        return self._code(f"{case['municipality']}/{case['notice']}".ljust(_CASE_BYTES).encode(), b"case")

    def _code(self, raw: bytes, kind: bytes) -> str:
        return base64.urlsafe_b64encode(self._cipher.encrypt(raw, [kind])).rstrip(b"=").decode()


def _code_bytes(code: str) -> bytes:
    return base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
