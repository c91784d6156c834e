"""Why a hand-over changes nothing: every code of a refusal, with the sentence that a clerk reads.

Codes are stable: a listing, a test or an agency's program may rely on them. Sentences hold no personal data.
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
    """Symbols of the Avro enum `Verdict`."""

    REJECTED = "REJECTED"
    DUPLICATE = "DUPLICATE"


class RejectionCode(StrEnum):
    """Short codes of what the list of a register refuses; `sentence` says why."""

    DUPLICATE = "DUPLICATE"
    NUMBER_TAKEN = "NUMBER_TAKEN"
    BIRTH_KNOWN = "BIRTH_KNOWN"
    RESIDENT_UNKNOWN = "RESIDENT_UNKNOWN"
    HOUSEHOLD_UNKNOWN = "HOUSEHOLD_UNKNOWN"
    PERSON_REPEATED = "PERSON_REPEATED"
    PERSONS_MISSING = "PERSONS_MISSING"
    CANCELS_UNKNOWN = "CANCELS_UNKNOWN"
    CANCELS_NOT_CANCELLABLE = "CANCELS_NOT_CANCELLABLE"
    CANCELS_CANCELLED = "CANCELS_CANCELLED"
    CANCELS_OVERTAKEN = "CANCELS_OVERTAKEN"

    @property
    def sentence(self) -> str:
        """The reason in Japanese and English."""
        return SENTENCES[self]

    @property
    def kind(self) -> RejectionKind:
        """A duplicate is reported; all else is refused."""
        return RejectionKind.DUPLICATE if self is RejectionCode.DUPLICATE else RejectionKind.REJECTED


SENTENCES: Final[Mapping[RejectionCode, str]] = MappingProxyType(
    {
        RejectionCode.DUPLICATE: (
            "同一の内容が既に提出されています。 The same was handed over before; nothing was changed."
        ),
        RejectionCode.NUMBER_TAKEN: (
            "同じ届出番号で内容の異なる届出が既に受理されています。"
            " Another content was already accepted under this notice number."
        ),
        RejectionCode.BIRTH_KNOWN: (
            "出生の住民票コードは、この市区町村で既に使われています。"
            " The resident record code of this birth is already known in this municipality."
        ),
        RejectionCode.RESIDENT_UNKNOWN: (
            "届出の対象者は、この時点でこの市区町村の住民ではありません。"
            " The notice names somebody who is no resident of this municipality at this place of its list."
        ),
        RejectionCode.HOUSEHOLD_UNKNOWN: (
            "届出の対象世帯には、この時点で住民がいません。"
            " The household named has no resident in this municipality at this place of its list."
        ),
        RejectionCode.PERSON_REPEATED: (
            "同じ人が一つの届出に二度記載されています。 The notice names the same person twice."
        ),
        RejectionCode.PERSONS_MISSING: (
            "新たに住民となる人の記載がありません。 The notice does not name the persons who are new there."
        ),
        RejectionCode.CANCELS_UNKNOWN: (
            "取消の対象となる届出が、この市区町村で受理されていません。"
            " No notice was accepted in this municipality under the number to be cancelled."
        ),
        RejectionCode.CANCELS_NOT_CANCELLABLE: (
            "対象の届出の異動事由は取消できません。職員の判断が必要です。"
            " A notice with this reason of change can't be cancelled; a clerk has to decide."
        ),
        RejectionCode.CANCELS_CANCELLED: (
            "対象の届出は既に取り消されています。 The notice to be cancelled is already cancelled."
        ),
        RejectionCode.CANCELS_OVERTAKEN: (
            "対象の届出の後に効力を生じた、同じ人の届出があります。職員の判断が必要です。"
            " A later notice of one of its persons stands; a clerk has to decide."
        ),
    }
)


#: Ends the place in the id of what an officer sent again.
RESUBMITTED: Final = "/resubmitted"
#: Before the digest, in the id of what was refused for its form.
DIGEST_MARK: Final = "#"


def rejection_id(origin: Mapping[str, Any], *, resubmitted: bool) -> str:
    """Id of a refusal from its cause: one hand-over has one, and one more where an officer sent it again."""
    place = f"{origin['topic']}/{origin['partition']}/{origin['offset']}"
    return f"{place}{RESUBMITTED}" if resubmitted else place


def find_repeats(ids: Sequence[str]) -> list[bool]:
    """Whether each refusal, in the order of arrival, is of what had been refused for its form before.

    Intake keeps no state, so it refuses such a hand-over once more; who reads the refusals sees that it is a duplicate.
    What an officer sent again is judged anew, and is none.
    """
    seen: set[str] = set()
    found = []
    for each in ids:
        place, _, digest = each.partition(DIGEST_MARK)
        again = bool(digest) and not place.endswith(RESUBMITTED)
        found.append(again and digest in seen)
        if again:
            seen.add(digest)
    return found


@dataclass
class Rejections:
    """The refusals of a batch, by topic, in the order of what they come of."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], rejection: RejectionCode) -> None:
        """One more; `row` is a `notice` or a `person-change`, which has no number of its own and isn't sent again."""
        system, municipality = parse_input_topic(row["origin"]["topic"])
        rejected = {
            "id": rejection_id(row["origin"], resubmitted=row.get("resubmitted", False)),
            "kind": rejection.kind.value,
            "system": system,
            "municipality": municipality or row["municipality"],
            "notice": row.get("notice"),
            "code": rejection.value,
            "reason": rejection.sentence,
            "origin": row["origin"],
            "received_at": row["received_at"],
        }
        self.rows.setdefault(rejected_topic(system), []).append(rejected)

    def outputs(self) -> Iterator[Output]:
        """One for each topic that has records."""
        for topic, rows in sorted(self.rows.items()):
            yield output_from_rows(topic, "rejected", rows, [row["id"] for row in rows])
