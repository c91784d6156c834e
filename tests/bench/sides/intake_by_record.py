"""Intake of CSV rows a record at a time, with a dict per submission. It writes the same bytes.

All submissions must be valid: an invalid one raises ValueError.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from infra.apply.installation import Installation
from infra.keys import load_keys
from processors.codes import DIGEST, MESH, KeyRing
from processors.intake.csv_notices import COLUMNS
from schemas.municipalities import is_municipality
from schemas.reasons import BY_JAPANESE, FACTS, FIELDS_BY_REASON
from schemas.topics import NOTICE, parse_input_topic
from tests.bench.side import Task
from tests.bench.sides import loop
from tests.bench.sides.avro import Avro
from tests.bench.timing import Run, Stopwatch

_DIGEST_BYTES: Final = 20
_DAYS_AHEAD_MAX: Final = 60


def _matches(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).fullmatch


_TEXT: Final = r"[^\S\n]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*"
#: Column -> check of its format.
_FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "number": _matches("[0-9]{1,18}"),
    "notice": _matches("[A-Za-z0-9-]{1,32}"),
    "municipality": is_municipality,
    "reason": BY_JAPANESE.__contains__,
    "effective_on": date.fromisoformat,
    "recorded_on": date.fromisoformat,
    "household": _matches("[0-9]{12}"),
    "local_number": _matches("[0-9]{13}"),
    "code": _matches("[0-9]{11}"),
    "name": _matches(_TEXT),
    "kana": _matches("[ァ-ヺー]+　[ァ-ヺー]+"),
    "birth_date": date.fromisoformat,
    "sex": ("男", "女").__contains__,
    "relationship": _matches(_TEXT),
    "address": _matches(_TEXT),
    "moved_from": _matches(""),
    "moved_to": _matches(""),
    "protected": ("0", "1").__contains__,
    "cancels": _matches(""),
}


def run(task: Task) -> Run:
    """Run intake. Options: `inputs` (topics), `prefix` of the topic to produce to."""
    installation = Installation.of_settings()
    by_record = IntakeByRecord(
        load_keys(installation.key_file), Avro(installation), task.options["prefix"] + NOTICE
    )
    return loop.run(
        "by-record", task.options["inputs"], by_record.process_batch, Stopwatch(task.records, task.warm_up)
    )


class IntakeByRecord:
    """Intake of the submissions of gateway servers."""

    def __init__(self, keys: KeyRing, avro: Avro, topic: str) -> None:
        self._avro, self._topic, self._cipher = avro, topic, AESSIV(keys.keys[MESH][0])
        self._digest = hashlib.blake2b(
            key=keys.keys[DIGEST][0], digest_size=_DIGEST_BYTES, person=b"juki-cs", usedforsecurity=True
        )

    def process_batch(self, messages: Sequence[Any]) -> Iterator[loop.ProduceArguments]:
        """Yield the notice of each submission."""
        for message in messages:
            submission = self._avro.read("juki-cs-notice", message.value())
            notice = self._notice(message, submission)
            yield self._topic, self._avro.write("notice", notice), notice["municipality"].encode(), -1, 0

    def _notice(self, message: Any, submission: Mapping[str, Any]) -> dict[str, Any]:
        rows, submitter = submission["rows"], parse_input_topic(message.topic())[1]
        first = rows[0]
        for row in rows:
            self._validate(row, submitter)
        effective, recorded = (date.fromisoformat(first[name]) for name in ("effective_on", "recorded_on"))
        if (effective - recorded).days > _DAYS_AHEAD_MAX:
            raise ValueError("a submission takes effect too long after its recording")
        record_position = {
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
        }
        return {
            "municipality": first["municipality"],
            "notice": first["notice"],
            "reason": BY_JAPANESE[first["reason"]].value,
            "effective_on": effective,
            "recorded_on": recorded,
            "digest": self._content_digest(submitter, rows),
            "resubmitted": False,
            "origin": {**record_position, "file": submission["file"], "line": submission["line"]},
            "received_at": datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC),
            **{name: first[name] or None for name in ("moved_from", "moved_to", "cancels")},
            "persons": [self._person(row) for row in rows],
            "household": None,
            "to": None,
        }

    def _validate(self, row: Mapping[str, Any], submitter: str | None) -> None:
        for name, matches in _FORMATS.items():
            if not matches(row[name]) and row[name]:
                raise ValueError(f"a submission has a wrong {name}")
        if row["fault"] or row["municipality"] != submitter:
            raise ValueError("a submission has a fault or another municipality than its topic")

    def _content_digest(self, submitter: str | None, rows: Sequence[Mapping[str, Any]]) -> str:
        lines = ["\x1f".join(row[name] for name in COLUMNS[1:]) for row in rows]
        digest = self._digest.copy()
        digest.update("\x1f".join([str(submitter), "\x1d".join(lines)]).encode())
        return digest.hexdigest()

    def _person(self, row: Mapping[str, Any]) -> dict[str, Any]:
        changes = FIELDS_BY_REASON[BY_JAPANESE[row["reason"]]]
        facts: dict[str, Any] = {name: row[name] for name in FACTS if name in changes}
        if "birth_date" in facts:
            facts["birth_date"] = date.fromisoformat(row["birth_date"])
        if "household" in facts:
            facts["household"] = self._code(f"{row['municipality']}/{row['household']}", b"household")
        return {
            "person": self._code(row["code"], b"person"),
            "local_number": row["local_number"],
            "facts": facts,
        }

    def _code(self, text: str, kind: bytes) -> str:
        return base64.urlsafe_b64encode(self._cipher.encrypt(text.encode(), [kind])).rstrip(b"=").decode()
