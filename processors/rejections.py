"""Rejections by the register and by fan-out: every code, with the sentence that a clerk reads.

Codes are stable: a listing, a test or an agency's program may rely on them. Sentences contain no personal data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from processors.columns import output_from_rows
from schemas.topics import parse_input_topic, rejected_topic
from streams.contract import Output


class RejectionKind(StrEnum):
    """The symbols of the Avro enum `RejectionKind`."""

    REJECTED = "REJECTED"
    DUPLICATE = "DUPLICATE"


class RejectionCode(StrEnum):
    """A short code for each rule of the register that rejects a submission."""

    DUPLICATE = "DUPLICATE"
    NUMBER_TAKEN = "NUMBER_TAKEN"
    NUMBER_TAKEN_BY_MEMBER = "NUMBER_TAKEN_BY_MEMBER"
    BIRTH_KNOWN = "BIRTH_KNOWN"
    RESIDENT_UNKNOWN = "RESIDENT_UNKNOWN"
    HOUSEHOLD_UNKNOWN = "HOUSEHOLD_UNKNOWN"
    HOUSEHOLD_LARGE = "HOUSEHOLD_LARGE"
    PERSON_REPEATED = "PERSON_REPEATED"
    PERSONS_MISSING = "PERSONS_MISSING"
    CANCELS_UNKNOWN = "CANCELS_UNKNOWN"
    CANCELS_NOT_CANCELLABLE = "CANCELS_NOT_CANCELLABLE"
    CANCELS_CANCELLED = "CANCELS_CANCELLED"
    CANCELS_OVERTAKEN = "CANCELS_OVERTAKEN"
    CANCELS_OTHER_PERSONS = "CANCELS_OTHER_PERSONS"

    @property
    def sentence(self) -> str:
        """The reason in Japanese and English."""
        return SENTENCES[self]

    @property
    def kind(self) -> RejectionKind:
        """DUPLICATE for a repeated submission, REJECTED for all other codes."""
        return RejectionKind.DUPLICATE if self is RejectionCode.DUPLICATE else RejectionKind.REJECTED


SENTENCES: Final[Mapping[RejectionCode, str]] = MappingProxyType(
    {
        RejectionCode.DUPLICATE: (
            "同一の内容が既に提出されています。 The same content was submitted before; nothing was changed."
        ),
        RejectionCode.NUMBER_TAKEN: (
            "同じ届出番号で内容の異なる届出が既に受理されています。"
            " A notice with other content was already accepted under this notice number."
        ),
        RejectionCode.NUMBER_TAKEN_BY_MEMBER: (
            "対象者の中に、同じ番号で内容の異なる届出が既に受理された人がいます。その人については受理せず、他の対象者に"
            "ついては受理しました。 Of one or several of its persons, an event with other content was already accepted"
            " under this number: for them nothing was changed, for the others it was accepted."
        ),
        RejectionCode.BIRTH_KNOWN: (
            "出生の住民票コードは、この市区町村で既に使われています。"
            " The resident record code of this birth is already in use in this municipality."
        ),
        RejectionCode.RESIDENT_UNKNOWN: (
            "届出の対象者は、この時点でこの市区町村の住民ではありません。"
            " The notice names a person who is not a resident of this municipality at this point of its register."
        ),
        RejectionCode.HOUSEHOLD_UNKNOWN: (
            "届出の対象世帯には、この時点で住民がいません。"
            " The household has no resident in this municipality at this point of its register."
        ),
        RejectionCode.HOUSEHOLD_LARGE: (
            "世帯の人数が1000人を超えています。"
            " The household has, or would have after the notice, more than 1000 residents."
        ),
        RejectionCode.PERSON_REPEATED: (
            "同じ人が一つの届出に二度記載されています。 The notice names the same person twice."
        ),
        RejectionCode.PERSONS_MISSING: (
            "新たに住民となる人の記載がありません。 The notice does not name the persons who become residents."
        ),
        RejectionCode.CANCELS_UNKNOWN: (
            "取消の対象となる届出または事象が、この提出者・この者について受理されていません。"
            " No notice or event of this submitter about this person has the number to be cancelled."
        ),
        RejectionCode.CANCELS_NOT_CANCELLABLE: (
            "対象の届出の異動事由は取消できません。職員の判断が必要です。"
            " A notice with this reason of change cannot be cancelled; a clerk has to decide."
        ),
        RejectionCode.CANCELS_CANCELLED: (
            "対象の届出は既に取り消されています。 The notice to be cancelled is already cancelled."
        ),
        RejectionCode.CANCELS_OVERTAKEN: (
            "対象の届出の後に効力を生じた、同じ人の届出があります。職員の判断が必要です。"
            " A notice of one of its persons takes effect later and is not cancelled; a clerk has to decide."
        ),
        RejectionCode.CANCELS_OTHER_PERSONS: (
            "取消の対象となる届出と、対象者が一致しません。取り消す届出の対象者の全員を、過不足なく記載してください。"
            " The event to be cancelled names other persons, or there is none of this number: a cancellation must name"
            " exactly the persons whom the event names."
        ),
    }
)


#: Follows the record position in the ID of a rejection of a resubmitted submission.
RESUBMITTED_SUFFIX: Final = "/resubmitted"
#: Precedes the digest in the ID of a rejection by intake.
DIGEST_SEPARATOR: Final = "#"


def rejection_id(origin: Mapping[str, Any], *, resubmitted: bool) -> str:
    """Return the ID of a rejection, derived from its cause: one per submission, and another one if resubmitted."""
    position = f"{origin['topic']}/{origin['partition']}/{origin['offset']}"
    return f"{position}{RESUBMITTED_SUFFIX}" if resubmitted else position


def find_repeats(ids: Sequence[str]) -> list[bool]:
    """Return for each rejection, by its ID, whether intake had rejected the same content before.

    `ids` are in the order of arrival. Intake is stateless, so it rejects a repeated submission a second time; only a
    reader of the rejections can see that it is a duplicate. A resubmitted submission is never a duplicate.
    """
    seen_digests: set[str] = set()
    repeats = []
    for rejection in ids:
        position, _, digest = rejection.partition(DIGEST_SEPARATOR)
        comparable = bool(digest) and not position.endswith(RESUBMITTED_SUFFIX)
        repeats.append(comparable and digest in seen_digests)
        if comparable:
            seen_digests.add(digest)
    return repeats


@dataclass
class Rejections:
    """The rejections of a batch by topic, in the order of the rejected records."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], rejection: RejectionCode) -> None:
        """Reject a record: `row` is a `notice`, or a `person-change`, which has a number only if it is an event."""
        system, municipality = parse_input_topic(row["origin"]["topic"])
        event = row.get("event")
        rejected = {
            "id": rejection_id(row["origin"], resubmitted=row.get("resubmitted", False)),
            "kind": rejection.kind.value,
            "system": system,
            "municipality": municipality or row["municipality"],
            "notice": row.get("notice") if event is None else event["number"],
            "code": rejection.value,
            "reason": rejection.sentence,
            "origin": row["origin"],
            "received_at": row["received_at"],
        }
        self.rows.setdefault(rejected_topic(system), []).append(rejected)

    def outputs(self) -> Iterator[Output]:
        """Yield one output per topic, omitting topics without records."""
        for topic, rows in sorted(self.rows.items()):
            yield output_from_rows(topic, "rejected", rows, [row["id"] for row in rows])
