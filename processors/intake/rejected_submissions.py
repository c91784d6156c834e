"""Records of `rejected.<system>` for invalid submissions; they repeat nothing of the content."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, contiguous, table_from_columns
from processors.intake import validation
from processors.intake.submissions import Submissions
from processors.rejections import DIGEST_SEPARATOR, RESUBMITTED_SUFFIX, RejectionKind
from schemas.topics import rejected_topic
from streams.contract import Output


def rejection_outputs(
    submissions: Submissions, errors: pa.Array, notice_numbers: pa.Array, digests: pa.Array
) -> Iterator[Output]:
    """Yield the rejections for each system. All submissions must be invalid.

    `errors` has an error per submission (see `validation`), `notice_numbers` the notice number where it can be read.
    The digest is part of the ID, so a reader of the rejections can recognize repeated submissions.
    """
    if not len(submissions):
        return
    table = table_from_columns(
        "rejected",
        {
            "id": _ids(submissions, digests),
            "kind": constant(RejectionKind.REJECTED.value, len(submissions)),
            "system": submissions.system,
            "municipality": submissions.municipality,
            "notice": notice_numbers,
            "code": validation.error_codes(errors),
            "reason": validation.error_sentences(errors),
            "origin": submissions.origin,
            "received_at": submissions.received_at,
        },
    )
    for system in pc.unique(submissions.system).to_pylist():
        of_system = table.filter(pc.equal(submissions.system, system))
        yield Output(rejected_topic(system), "rejected", of_system, contiguous(of_system.column("id")))


def _ids(submissions: Submissions, digests: pa.Array) -> pa.Array:
    position = pc.binary_join_element_wise(
        submissions.topic,
        submissions.partition.cast(pa.string()),
        submissions.offset.cast(pa.string()),
        "/",
    )
    suffix = RESUBMITTED_SUFFIX if submissions.resubmitted else ""
    return pc.binary_join_element_wise(position, suffix, DIGEST_SEPARATOR, digests, "")
