"""Why a hand-over changes nothing: every code of a refusal, with the sentence that a clerk reads.

Codes are stable: a listing, a test or an agency's program may rely on them. Sentences hold no personal data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class Verdict(StrEnum):
    """Symbols of the Avro enum `Verdict`."""

    REFUSED = "REFUSED"
    DUPLICATE = "DUPLICATE"


class Refusal(StrEnum):
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
    def verdict(self) -> Verdict:
        """A duplicate is reported; all else is refused."""
        return Verdict.DUPLICATE if self is Refusal.DUPLICATE else Verdict.REFUSED


SENTENCES: Final[Mapping[Refusal, str]] = MappingProxyType(
    {
        Refusal.DUPLICATE: (
            "同一の内容が既に提出されています。 The same was handed over before; nothing was changed."
        ),
        Refusal.NUMBER_TAKEN: (
            "同じ届出番号で内容の異なる届出が既に受理されています。"
            " Another content was already accepted under this notice number."
        ),
        Refusal.BIRTH_KNOWN: (
            "出生の住民票コードは、この市区町村で既に使われています。"
            " The resident record code of this birth is already known in this municipality."
        ),
        Refusal.RESIDENT_UNKNOWN: (
            "届出の対象者は、この時点でこの市区町村の住民ではありません。"
            " The notice names somebody who is no resident of this municipality at this place of its list."
        ),
        Refusal.HOUSEHOLD_UNKNOWN: (
            "届出の対象世帯には、この時点で住民がいません。"
            " The household named has no resident in this municipality at this place of its list."
        ),
        Refusal.PERSON_REPEATED: (
            "同じ人が一つの届出に二度記載されています。 The notice names the same person twice."
        ),
        Refusal.PERSONS_MISSING: (
            "新たに住民となる人の記載がありません。 The notice does not name the persons who are new there."
        ),
        Refusal.CANCELS_UNKNOWN: (
            "取消の対象となる届出が、この市区町村で受理されていません。"
            " No notice was accepted in this municipality under the number to be cancelled."
        ),
        Refusal.CANCELS_NOT_CANCELLABLE: (
            "対象の届出の異動事由は取消できません。職員の判断が必要です。"
            " A notice with this reason of change can't be cancelled; a clerk has to decide."
        ),
        Refusal.CANCELS_CANCELLED: (
            "対象の届出は既に取り消されています。 The notice to be cancelled is already cancelled."
        ),
        Refusal.CANCELS_OVERTAKEN: (
            "対象の届出の後に効力を生じた、同じ人の届出があります。職員の判断が必要です。"
            " A later notice of one of its persons stands; a clerk has to decide."
        ),
    }
)


#: Ends the place in the id of what an officer sent again.
RESENT: Final = "/resent"
#: Before the digest, in the id of what was refused for its form.
DIGEST_MARK: Final = "#"


def rejection_id(origin: Mapping[str, Any], *, resent: bool) -> str:
    """Id of a refusal from its cause: one hand-over has one, and one more where an officer sent it again."""
    place = f"{origin['topic']}/{origin['partition']}/{origin['offset']}"
    return f"{place}{RESENT}" if resent else place


def repeated(ids: Sequence[str]) -> list[bool]:
    """Whether each refusal, in the order of arrival, is of what had been refused for its form before.

    Intake keeps no state, so it refuses such a hand-over once more; who reads the refusals sees that it is a duplicate.
    What an officer sent again is judged anew, and is none.
    """
    seen: set[str] = set()
    found = []
    for each in ids:
        place, _, digest = each.partition(DIGEST_MARK)
        again = bool(digest) and not place.endswith(RESENT)
        found.append(again and digest in seen)
        if again:
            seen.add(digest)
    return found
