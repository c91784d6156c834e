"""Puts records aside: letters with their content for the step's dead letters, entries for what is parked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from schemas.codec import Codec
from streams.clients import Message, Outgoing, Partition
from streams.contract import Strands
from streams.dead_letters import DeadLetter
from streams.decoding import offset_of, partition_of
from streams.kept import Kept
from streams.parking import Aside, Held, Kind, identity
from streams.sealing import Sealer
from streams.settings import PipelineSettings
from streams.step import Step

log = structlog.get_logger()


@dataclass(frozen=True)
class Workshop:
    """What the work on any batch of a step needs."""

    step: Step
    codec: Codec
    settings: PipelineSettings
    sealer: Sealer


@dataclass
class Outcome:
    """All that follows from some records but state: outputs, encoded, and letters."""

    outgoing: list[Outgoing] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)


class SettingAside:
    """Sets records of partitions that are ours aside. `held` are the strands on which later records wait."""

    def __init__(self, shop: Workshop, kept: Mapping[Partition, Kept], held: Held, outcome: Outcome) -> None:
        self._shop, self._kept, self._outcome = shop, kept, outcome
        self.held = held

    def judge(self, record: Message, row: Mapping[str, Any], strands: Strands, reason: str) -> None:
        """A record that failed: a letter, or parked where it waits for one."""
        if not self.park(record, strands):
            digest = identity(self._shop.sealer, record, row)
            self._letter(record, self._entry(Kind.LETTER, record, strands, digest=digest, reason=reason))

    def nobodys(self, letters: Sequence[DeadLetter]) -> None:
        """Records that can't be decoded: nothing waits behind them."""
        for each in letters:
            digest = identity(self._shop.sealer, each.record)
            entry = self._entry(Kind.LETTER, each.record, Strands(), digest=digest, reason=each.reason)
            self._letter(each.record, entry)

    def park(self, record: Message, strands: Strands) -> bool:
        """Parks a record where it waits for a strand that is held; whether it does."""
        behind = self.held.behind(strands.waits)
        if behind:
            self.keep(partition_of(record), self._entry(Kind.PARKED, record, strands, behind=behind))
        return bool(behind)

    def again(self, record: Message, letter: Aside, reason: str) -> None:
        """A letter that was tried in vain holds what it held before, for another reason."""
        self._letter(record, replace(letter, reason=reason))

    def keep(self, partition: Partition, entry: Aside) -> None:
        """An entry that is there, or comes: later records wait behind it."""
        self._kept[partition].parked.put(entry)
        self.held.add(entry)

    def _letter(self, record: Message, entry: Aside) -> None:
        place = partition_of(record)
        self.keep(place, entry)
        self._outcome.dead.append(DeadLetter(record, entry.reason, entry.digest))
        log.warning(
            "record.set-aside",
            step=self._shop.step.name,
            reason=entry.reason,
            topic=place[0],
            partition=place[1],
            offset=entry.offset,
        )

    def _entry(self, kind: Kind, record: Message, strands: Strands, **more: Any) -> Aside:
        topic, _ = partition_of(record)
        waits, holds = tuple(strands.waits), tuple(strands.holds)
        return Aside(kind, topic, offset_of(record), waits=waits, holds=holds, **more)
