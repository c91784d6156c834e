"""The intake step: accepts each submission, with mesh codes, or rejects it with a reason; none is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import MESH, KeyRing
from processors.columns import contiguous, row_indices
from processors.intake import (
    adoptions,
    canonical,
    dead_letter_commands,
    formats,
    resubmissions,
    settlements,
    submission_limits,
    submission_ordering,
    validation,
)
from processors.intake.rejected_submissions import rejection_outputs
from processors.intake.submission_types import SUBMISSION_TYPES, SubmissionType
from processors.intake.submissions import Submissions, publishes_schema, submissions_of
from processors.intake.validation_codes import ValidationCode
from processors.sealed_person_changes import sealed_person_changes
from schemas.submission_schemas import GENERATED_SCHEMAS, OPERATOR_COMMAND
from schemas.systems import DIGEST_PURPOSES
from streams.contract import Batch, OrderingKeys, Output, Poison, Result, State
from streams.errors import NotConfiguredError
from streams.high_level import HighSealer
from streams.submission_sealing import SubmissionOpener


@dataclass(frozen=True)
class _IntakeResult:
    """The result for one type of submissions: accepted records and rejections.

    `rows` (int64) is the index of each accepted record's submission; if it was resubmitted, of its command.
    """

    type: SubmissionType
    records: pa.Table
    rows: pa.Array
    rejections: tuple[Output, ...]


class IntakeProcessor:
    """Reads every `in.` topic; writes `notice`, `person.change`, `rejected.<system>` and `command.<step>`.

    `sealer` has the keys of the high level, also for what its submitters have sealed; without them it can't accept what
    is of that level.

    Poison: `wrong-topic` for a record in a topic whose system doesn't publish its schema.
    """

    def __init__(self, keys: KeyRing, sealer: HighSealer | None = None) -> None:
        self._keys, self._sealer = keys, sealer
        self._opener = None if sealer is None else SubmissionOpener(sealer.keys)
        self._mesh = keys.cipher(MESH)

    def process(self, batches: Sequence[Batch]) -> Result:
        """Return outputs in the order of the batches; within a batch, in the order of its records."""
        outputs: list[Output] = []
        poison: list[Poison] = []
        for number, batch in enumerate(batches):
            in_right_topic = publishes_schema(contiguous(batch.meta.column("topic")), batch.schema)
            opened = self._opened(batch)
            misplaced = pc.indices_nonzero(pc.invert(in_right_topic)).to_pylist()
            poison.extend(Poison(number, row, "wrong-topic") for row in misplaced)
            submissions = submissions_of(opened)
            outputs.extend(
                self._outputs(batch.schema, submissions.filter(in_right_topic) if misplaced else submissions)
            )
        return Result(outputs, poison)

    def ordering_keys(self, batch: Batch, state: State | None) -> Sequence[OrderingKeys]:
        """Return the ordering keys of each submission: persons, households, numbers. Its Kafka record has no key."""
        return submission_ordering.ordering_keys(self._opened(batch), self._mesh, self._sealer)

    def _opened(self, batch: Batch) -> Batch:
        """Return submissions with the content of those that their submitters have sealed."""
        if batch.schema not in GENERATED_SCHEMAS or not GENERATED_SCHEMAS[batch.schema].is_high:
            return batch
        if self._opener is None:
            raise NotConfiguredError("the keys of the high level are missing: run mesh apply")
        topics = contiguous(batch.meta.column("topic")).to_pylist()
        return replace(batch, table=self._opener.opened_table(batch.schema, topics, batch.table))

    def _outputs(self, schema: str, submissions: Submissions) -> Iterator[Output]:
        if not len(submissions):
            return
        if schema != OPERATOR_COMMAND:
            yield from self._result_outputs([self._process(SUBMISSION_TYPES[schema], submissions)])
            return
        yield from self._result_outputs(self._resubmit(submissions))
        on_dead_letter = dead_letter_commands.is_dead_letter_command(submissions)
        yield from dead_letter_commands.command_outputs(submissions.filter(on_dead_letter))
        settles = settlements.is_settlement(submissions, self._mesh)
        yield from settlements.settlement_outputs(submissions.filter(settles))
        adopts = adoptions.is_adoption(submissions)
        yield from adoptions.adoption_outputs(submissions.filter(adopts))
        others = pc.invert(pc.or_(pc.or_(on_dead_letter, settles), adopts))
        yield from self._rejected_commands(submissions.filter(others))

    def _result_outputs(self, results: Sequence[_IntakeResult]) -> Iterator[Output]:
        yield from _merge_records(results, self._sealer)
        for result in results:
            yield from result.rejections

    def _process(self, type_: SubmissionType, submissions: Submissions) -> _IntakeResult:
        columns = type_.read(submissions)
        errors = validation.first_of(
            [
                type_.validate(submissions, columns),
                submission_limits.errors(submissions.table),
                _file_name_errors(submissions),
            ]
        )
        is_valid = pc.is_null(errors)
        some_invalid = errors.null_count < len(errors)
        valid = submissions.filter(is_valid) if some_invalid else submissions
        valid_columns = type_.read(valid) if some_invalid else columns
        records = type_.accept(
            valid,
            valid_columns,
            lambda: self._digests(type_, valid, valid_columns, all_valid=True),
            self._mesh,
        )
        rejections = tuple(self._rejected(type_, submissions, errors)) if some_invalid else ()
        rows, parents = row_indices(len(is_valid)).filter(is_valid), type_.parents(valid_columns)
        return _IntakeResult(type_, records, rows if parents is None else rows.take(parents), rejections)

    def _rejected(
        self, type_: SubmissionType, submissions: Submissions, errors: pa.Array
    ) -> Iterator[Output]:
        invalid = submissions.filter(pc.is_valid(errors))
        columns = type_.read(invalid)
        digests = self._digests(type_, invalid, columns, all_valid=False)
        return rejection_outputs(invalid, errors.drop_null(), type_.notice_numbers(columns), digests)

    def _digests(
        self, type_: SubmissionType, submissions: Submissions, columns: Any, *, all_valid: bool
    ) -> pa.Array:
        """Return a digest of each submission's content.

        It includes the municipality, so submissions of two municipalities are never duplicates of each other.
        """
        contents = canonical.join_columns(
            [submissions.municipality, type_.canonical_form(columns, all_valid)],
            without_control_characters=True,
        )
        return self._keys.digests(contents, type_.digest_purpose)

    def _resubmit(self, commands: Submissions) -> list[_IntakeResult]:
        valid = resubmissions.is_resubmission(commands)
        results = []
        for schema, submissions, rows in resubmissions.submissions_by_schema(commands.filter(valid)):
            result = self._process(SUBMISSION_TYPES[schema], submissions)
            # The rows of commands, so records of different types come out in the order of the commands.
            results.append(
                _IntakeResult(result.type, result.records, rows.take(result.rows), result.rejections)
            )
        return results

    def _rejected_commands(self, commands: Submissions) -> Iterator[Output]:
        """Yield rejections of the commands that aren't resubmissions; none of `commands` is of another valid type."""
        is_invalid = pc.invert(resubmissions.is_resubmission(commands))
        invalid = commands.filter(is_invalid)
        positions = canonical.join_columns(
            [invalid.topic, invalid.offset.cast(pa.string())], without_control_characters=True
        )
        digests = self._keys.digests(positions, DIGEST_PURPOSES[OPERATOR_COMMAND])
        errors = validation.same_error(ValidationCode.OPERATOR_COMMAND, len(invalid))
        return rejection_outputs(invalid, errors, pa.nulls(len(invalid), pa.string()), digests)


def _file_name_errors(submissions: Submissions) -> pa.Array:
    """Return an error for each submission from a file whose name has hidden characters: listings name the file."""
    is_visible = formats.without_hidden_characters(submissions.column("file"))
    return validation.error_where(ValidationCode.FORM_FILE, pc.invert(pc.fill_null(is_visible, True)))


def _merge_records(results: Sequence[_IntakeResult], sealer: HighSealer | None) -> Iterator[Output]:
    """Yield the accepted records of each topic in the order of their submissions, whatever their types.

    Records for every partition of a topic, and sealed ones, are outputs of their own.
    """
    by_topic = sorted(results, key=_address)
    for (topic, is_broadcast, is_sealed), group in groupby(by_topic, key=_address):
        of_topic = list(group)
        table = pa.concat_tables([result.records for result in of_topic])
        if len(of_topic) > 1:
            rows = pa.chunked_array([result.rows for result in of_topic])
            table = table.take(pc.sort_indices(rows))
        if len(table):
            type_ = of_topic[0].type
            key = contiguous(table.column(type_.key))
            if is_sealed:
                yield sealed_person_changes(table, sealer)
            else:
                yield Output(topic, type_.schema, table, key, broadcast=is_broadcast)


def _address(result: _IntakeResult) -> tuple[str, bool, bool]:
    return result.type.topic, result.type.is_broadcast, result.type.is_sealed
