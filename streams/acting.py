"""An officer's act on a dead letter: it and what is parked behind it are processed in their order, at once."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import structlog

from streams.attempts import Attempts
from streams.clients import Message, Partition, Placed
from streams.dead_letters import DeadLetter, seal_place
from streams.decoding import decode
from streams.kept import Kept
from streams.parking import Aside, Held, Kind, Parked
from streams.sealing import SealedError
from streams.setting_aside import Outcome, SettingAside, Workshop

log = structlog.get_logger()

#: Reasons of letters that could not even be tried.
GONE, NOT_SEALED = "gone-from-origin", "repair-not-sealed"


class Deed(StrEnum):
    """What an officer does; as the schema has it."""

    RETRY = "RETRY"
    REPAIR = "REPAIR"
    DISMISS = "DISMISS"


#: What a letter is after a deed that went well.
STATUS = {Deed.RETRY: "RETRIED", Deed.REPAIR: "REPAIRED", Deed.DISMISS: "DISMISSED"}


@dataclass(frozen=True)
class Act:
    """An act on the letters named `digest`. `value` is what to process instead: sealed, base64."""

    id: str
    deed: Deed
    digest: str
    reason: str | None = None
    value: str | None = None


def concerned(parked: Parked, digest: str) -> list[Aside]:
    """The letters of this name and all that is parked behind them, in the order of their offsets."""
    return [
        entry
        for entry in parked.entries
        if (entry.kind is Kind.LETTER and entry.digest == digest) or digest in entry.behind
    ]


class Acting:
    """One act on one partition."""

    def __init__(self, shop: Workshop, partition: Partition, kept: Kept, outcome: Outcome) -> None:
        self._shop, self._partition, self._kept, self._outcome = shop, partition, kept, outcome
        self._aside = SettingAside(shop, {partition: kept}, Held(), outcome)
        state = kept.state if shop.step.stores else None
        self._attempts = Attempts(shop, state, self._aside, outcome)

    def do(self, act: Act, records: Mapping[int, Message]) -> None:
        """All that follows from it; that it was done is remembered with it."""
        entries, moved = self._kept.parked.entries, concerned(self._kept.parked, act.digest)
        freed = set(moved)
        for entry in moved:
            self._kept.parked.remove(entry)
        waiting: list[Aside] = []
        for entry in entries:
            if entry in freed and entry.kind is Kind.PARKED:
                waiting.append(entry)
                continue
            self._follow(waiting, records)
            waiting = []
            if entry in freed:
                self._letter(act, entry, records.get(entry.offset))
            else:
                self._aside.held.add(entry)
        self._follow(waiting, records)
        self._kept.parked.do(act.id)

    def _letter(self, act: Act, letter: Aside, record: Message | None) -> None:
        tried = record or Placed(self._partition, letter.offset)
        failed = None if act.deed is Deed.DISMISS else self._tried(act, letter, record)
        if failed is None:
            status = STATUS[act.deed]
            self._outcome.dead.append(
                DeadLetter(tried, letter.reason, letter.digest, status, act.id, act.reason)
            )
            log.info("letter.done", step=self._shop.step.name, letter=letter.digest, status=status)
        else:
            self._aside.again(tried, letter, failed)

    def _tried(self, act: Act, letter: Aside, record: Message | None) -> str | None:
        """Why it can't be processed still; None where it was."""
        if act.deed is Deed.REPAIR:
            record = self._repaired(act, letter, record)
            if record is None:
                return NOT_SEALED
        if record is None:
            return GONE
        part, dead = decode(self._shop.codec, self._shop.step.schema_of(letter.topic), [record])
        return dead[0].reason if dead else self._attempts.once(part)

    def _repaired(self, act: Act, letter: Aside, record: Message | None) -> Message | None:
        """The record with the value of the act; None where that can't be opened."""
        place = seal_place(self._shop.step.name, letter.digest, "repair")
        try:
            value = self._shop.sealer.open(base64.b64decode(act.value or "", validate=True), place)
        except (binascii.Error, SealedError):
            return None
        key, stamp = (None, 0) if record is None else (record.key(), record.timestamp()[1])
        return Placed(self._partition, letter.offset, key_bytes=key, value_bytes=value, timestamp_ms=stamp)

    def _follow(self, waiting: Sequence[Aside], records: Mapping[int, Message]) -> None:
        """What was parked is processed, or parked again behind whatever holds it now."""
        there = [records[entry.offset] for entry in waiting if entry.offset in records]
        for entry in waiting:
            if entry.offset not in records:
                # It can't follow: from now on it is a letter itself.
                lost = replace(entry, kind=Kind.LETTER, digest=self._name_of(entry), behind=())
                self._aside.again(Placed(self._partition, entry.offset), lost, GONE)
        if there:
            schema = self._shop.step.schema_of(self._partition[0])
            part, dead = decode(self._shop.codec, schema, there)
            self._aside.nobodys(dead)
            self._attempts.attempt([part])

    def _name_of(self, entry: Aside) -> str:
        place = f"{self._partition[0]}/{self._partition[1]}/{entry.offset}"
        return self._shop.sealer.digest(place.encode())


def act_of(row: Mapping[str, Any]) -> Act | None:
    """An act as the topic has it; None for one that this version doesn't know."""
    if row["act"] not in set(Deed):
        return None
    return Act(row["id"], Deed(row["act"]), row["digest"], row["reason"], row["value"])
