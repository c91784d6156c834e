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
from processors.intake import canonical, dead_letter_commands, resubmissions, submission_ordering, validation
from processors.intake.rejected_submissions import refused
from processors.intake.submission_types import SUBMISSION_TYPES, SubmissionType
from processors.intake.submissions import Submissions, publishes_schema, submissions_of
from processors.intake.validation_codes import ValidationCode
from streams.contract import Batch, OrderingKeys, Output, Poison, Result, State

_DESK: Final = "operator-command"


@dataclass(frozen=True)
class _IntakeResult:
    """What became of hand-overs of a kind: records, their places (int64) among what came, and refusals."""

    kind: SubmissionType
    records: pa.Table
    places: pa.Array
    refusals: tuple[Output, ...]


class IntakeProcessor:
    """Reads every `in.` topic; writes `notice`, `person.change`, `rejected.<system>` and `command.<step>`.

    Poison is only what stands in a topic whose system doesn't hand over such events (`wrong-topic`).
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._mesh = keys.cipher(MESH)

    def process(self, batches: Sequence[Batch]) -> Result:
        """Outputs in the order of the batches; within a batch, in the order of its records."""
        outputs: list[Output] = []
        poison: list[Poison] = []
        for number, batch in enumerate(batches):
            own = publishes_schema(whole(batch.meta.column("topic")), batch.schema)
            strays = pc.indices_nonzero(pc.invert(own)).to_pylist()
            poison.extend(Poison(number, index, "wrong-topic") for index in strays)
            hand_overs = submissions_of(batch).filter(own) if strays else submissions_of(batch)
            outputs.extend(self._outputs(batch.schema, hand_overs))
        return Result(outputs, poison)

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """What must stay in order with each hand-over: persons, households, numbers; a topic has no key."""
        return submission_ordering.strands(batch, self._mesh)

    def _outputs(self, schema: str, hand_overs: Submissions) -> Iterator[Output]:
        if not len(hand_overs):
            return
        taken = (
            [self._taken(SUBMISSION_TYPES[schema], hand_overs)]
            if schema != _DESK
            else self._sent_again(hand_overs)
        )
        yield from _in_order(taken)
        for one in taken:
            yield from one.refusals
        if schema == _DESK:
            on_letters = dead_letter_commands.is_dead_letter_command(hand_overs)
            yield from dead_letter_commands.passed_on(hand_overs.filter(on_letters))
            yield from self._refused_acts(hand_overs.filter(pc.invert(on_letters)))

    def _taken(self, kind: SubmissionType, hand_overs: Submissions) -> _IntakeResult:
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
        return _IntakeResult(kind, records, span(len(good)).filter(good), refusals)

    def _refused(self, kind: SubmissionType, hand_overs: Submissions, judged: pa.Array) -> Iterator[Output]:
        bad = hand_overs.filter(pc.is_valid(judged))
        theirs = kind.read(bad)
        digests = self._digests(kind, bad, theirs, clean=False)
        return refused(bad, judged.drop_null(), kind.numbers(theirs), digests)

    def _digests(self, kind: SubmissionType, hand_overs: Submissions, read: Any, *, clean: bool) -> pa.Array:
        """Told apart by submitter: two municipalities never hand over the same."""
        said = canonical.joined([hand_overs.municipality, kind.contents(read, clean)], clean=True)
        return self._keys.digests(said, kind.purpose)

    def _sent_again(self, acts: Submissions) -> list[_IntakeResult]:
        good = resubmissions.acceptable(acts)
        return [
            _IntakeResult(one.kind, one.records, places.take(one.places), one.refusals)
            for schema, hand_overs, places in resubmissions.sent_again(acts.filter(good))
            for one in [self._taken(SUBMISSION_TYPES[schema], hand_overs)]
        ]

    def _refused_acts(self, acts: Submissions) -> Iterator[Output]:
        bad = resubmissions.in_place(acts.filter(pc.invert(resubmissions.acceptable(acts))))
        places = canonical.joined([bad.topic, bad.offset.cast(pa.string())], clean=True)
        faults = validation.everywhere(ValidationCode.DESK_ACT, len(bad))
        return refused(bad, faults, pa.nulls(len(bad), pa.string()), self._keys.digests(places, _DESK))


def _in_order(taken: Sequence[_IntakeResult]) -> Iterator[Output]:
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
