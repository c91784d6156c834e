"""The step: every hand-over is accepted into the mesh's codes, or refused with its reason; none is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import MESH, KeyRing
from processors.columns import span, whole
from processors.intake import content, desk, judgement, letters, strands
from processors.intake.faults import Fault
from processors.intake.filed import Filed, filed, speaks
from processors.intake.kinds import KINDS, Kind
from processors.intake.refused import refused
from streams.contract import Batch, Output, Poison, Result, State, Strands

_DESK: Final = "desk-act"


@dataclass(frozen=True)
class _Taken:
    """What became of hand-overs of a kind: records, their places (int64) among what came, and refusals."""

    kind: Kind
    records: pa.Table
    places: pa.Array
    refusals: tuple[Output, ...]


class Intake:
    """Reads every `in.` topic; writes `notice`, `person.change`, `rejected.<system>` and `act.<step>`.

    Poison is only what stands in a topic whose system doesn't hand over such events (`not-its-topic`).
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._mesh = keys.cipher(MESH)

    def process(self, batches: Sequence[Batch]) -> Result:
        """Outputs in the order of the batches; within a batch, in the order of its records."""
        outputs: list[Output] = []
        poison: list[Poison] = []
        for number, batch in enumerate(batches):
            own = speaks(whole(batch.meta.column("topic")), batch.schema)
            strays = pc.indices_nonzero(pc.invert(own)).to_pylist()
            poison.extend(Poison(number, index, "not-its-topic") for index in strays)
            hand_overs = filed(batch).filter(own) if strays else filed(batch)
            outputs.extend(self._outputs(batch.schema, hand_overs))
        return Result(outputs, poison)

    def strands(self, batch: Batch, state: State | None) -> Sequence[Strands]:
        """What must stay in order with each hand-over: persons, households, numbers; a topic has no key."""
        return strands.strands(batch, self._mesh)

    def _outputs(self, schema: str, hand_overs: Filed) -> Iterator[Output]:
        if not len(hand_overs):
            return
        taken = [self._taken(KINDS[schema], hand_overs)] if schema != _DESK else self._sent_again(hand_overs)
        yield from _in_order(taken)
        for one in taken:
            yield from one.refusals
        if schema == _DESK:
            on_letters = letters.on_letters(hand_overs)
            yield from letters.passed_on(hand_overs.filter(on_letters))
            yield from self._refused_acts(hand_overs.filter(pc.invert(on_letters)))

    def _taken(self, kind: Kind, hand_overs: Filed) -> _Taken:
        read = kind.read(hand_overs)
        judged = kind.judge(hand_overs, read)
        good = pc.is_null(judged)
        spoiled = judged.null_count < len(judged)
        kept = hand_overs.filter(good) if spoiled else hand_overs
        theirs = kind.read(kept) if spoiled else read
        records = kind.records(
            kept, theirs, lambda: self._digests(kind, kept, theirs, clean=True), self._mesh
        )
        refusals = tuple(self._refused(kind, hand_overs, judged)) if spoiled else ()
        return _Taken(kind, records, span(len(good)).filter(good), refusals)

    def _refused(self, kind: Kind, hand_overs: Filed, judged: pa.Array) -> Iterator[Output]:
        bad = hand_overs.filter(pc.is_valid(judged))
        theirs = kind.read(bad)
        digests = self._digests(kind, bad, theirs, clean=False)
        return refused(bad, judged.drop_null(), kind.numbers(theirs), digests)

    def _digests(self, kind: Kind, hand_overs: Filed, read: Any, *, clean: bool) -> pa.Array:
        """Told apart by submitter: two municipalities never hand over the same."""
        said = content.joined([hand_overs.municipality, kind.contents(read, clean)], clean=True)
        return self._keys.digests(said, kind.purpose)

    def _sent_again(self, acts: Filed) -> list[_Taken]:
        good = desk.acceptable(acts)
        return [
            _Taken(one.kind, one.records, places.take(one.places), one.refusals)
            for schema, hand_overs, places in desk.sent_again(acts.filter(good))
            for one in [self._taken(KINDS[schema], hand_overs)]
        ]

    def _refused_acts(self, acts: Filed) -> Iterator[Output]:
        bad = desk.in_place(acts.filter(pc.invert(desk.acceptable(acts))))
        places = content.joined([bad.topic, bad.offset.cast(pa.string())], clean=True)
        faults = judgement.everywhere(Fault.DESK_ACT, len(bad))
        return refused(bad, faults, pa.nulls(len(bad), pa.string()), self._keys.digests(places, _DESK))


def _in_order(taken: Sequence[_Taken]) -> Iterator[Output]:
    """Records of one topic in the order in which they came, whatever kinds they are of."""
    by_topic = sorted(taken, key=lambda one: one.kind.topic)
    for topic, group in groupby(by_topic, key=lambda one: one.kind.topic):
        of_topic = list(group)
        table = pa.concat_tables([one.records for one in of_topic])
        if len(of_topic) > 1:
            places = pa.chunked_array([one.places for one in of_topic])
            table = table.take(pc.sort_indices(places))
        if len(table):
            kind = of_topic[0].kind
            yield Output(topic, kind.schema, table, whole(table.column(kind.key)))
