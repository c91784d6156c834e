"""Hand-overs with a fault: what goes to `rejected.<system>`, without anything of what they say."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import constant, shaped, whole
from processors.intake import validation
from processors.intake.submissions import Submissions
from processors.rejections import DIGEST_MARK, RESUBMITTED, RejectionKind
from schemas.topics import rejected_topic
from streams.contract import Output


def refused(
    hand_overs: Submissions, faults: pa.Array, numbers: pa.Array, digests: pa.Array
) -> Iterator[Output]:
    """Records for each system's refusals; the id tells where it stands, and by its digest what was handed over before.

    `faults` is a judgement without null, `numbers` the notices' numbers where they can be read.
    """
    if not len(hand_overs):
        return
    table = shaped(
        "rejected",
        {
            "id": _ids(hand_overs, digests),
            "kind": constant(RejectionKind.REJECTED.value, len(hand_overs)),
            "system": hand_overs.system,
            "municipality": hand_overs.municipality,
            "notice": numbers,
            "code": validation.codes(faults),
            "reason": validation.sentences(faults),
            "origin": hand_overs.origin,
            "received_at": hand_overs.received_at,
        },
    )
    for system in pc.unique(hand_overs.system).to_pylist():
        mine = table.filter(pc.equal(hand_overs.system, system))
        yield Output(rejected_topic(system), "rejected", mine, whole(mine.column("id")))


def _ids(hand_overs: Submissions, digests: pa.Array) -> pa.Array:
    place = pc.binary_join_element_wise(
        hand_overs.topic, hand_overs.partition.cast(pa.string()), hand_overs.offset.cast(pa.string()), "/"
    )
    how = RESUBMITTED if hand_overs.resubmitted else ""
    return pc.binary_join_element_wise(place, how, DIGEST_MARK, digests, "")
