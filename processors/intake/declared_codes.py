"""The reasons for which intake rejects an event of a declared entity because of one of the entity's fields.

Codes and sentences follow from the declaration: a new field needs no text of its own. Sentences name the field, never
its content.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.declare import FREE_TEXT, MEMBERS, MEMBERS_MAX, EntityField
from schemas.submission_schemas import GENERATED_SCHEMAS
from schemas.systems import System


@dataclass(frozen=True)
class DeclaredCode:
    """A code of a declared field, with the sentence that a clerk reads; systems may share a code, not a sentence."""

    value: str
    sentence: str


def wrong_form(field: EntityField) -> DeclaredCode:
    """Return the reason that a field doesn't have its form."""
    japanese, english = _form(field)
    return DeclaredCode(
        f"FORM/{field.name}", f"{_japanese(field)}{japanese}。 The field {_english(field)} {english}."
    )


def missing(field: EntityField) -> DeclaredCode:
    """Return the reason that an event doesn't bring a field."""
    return DeclaredCode(
        f"MISSING/{field.name}",
        f"{_japanese(field)}がありません。この届出には必要です。"
        f" The field {_english(field)} is missing, and this event requires it.",
    )


def unexpected(field: EntityField) -> DeclaredCode:
    """Return the reason that an event has a field that it doesn't bring: nothing would take the value."""
    return DeclaredCode(
        f"UNEXPECTED/{field.name}",
        f"この届出には{_japanese(field)}を記載できません。空欄にしてください。"
        f" The field {_english(field)} must be empty, because this event does not bring it.",
    )


def no_member(field: EntityField) -> DeclaredCode:
    """Return the reason that an event of several persons has a field that names somebody else."""
    return DeclaredCode(
        f"NO_MEMBER/{field.name}",
        f"{_japanese(field)}が、この届出の対象者（members）の中にありません。"
        f" The field {_english(field)} is none of the persons whom this event names (members).",
    )


#: Why intake rejects a submission because of the persons whom it names.
MEMBERS_MISSING: Final = DeclaredCode(
    f"MISSING/{MEMBERS}",
    "対象者（members）がありません。この届出には一人以上の住民票コードが必要です。"
    " The field members (対象者) is missing or empty, and this event requires one person or more.",
)
MEMBERS_UNEXPECTED: Final = DeclaredCode(
    f"UNEXPECTED/{MEMBERS}",
    "この届出には対象者（members）を記載できません。一人の住民票コードをcodeに記載してください。"
    " The field members (対象者) must be empty, because this event is about one person, named in code.",
)
CODE_UNEXPECTED: Final = DeclaredCode(
    "UNEXPECTED/code",
    "対象者（members）とcodeの両方は記載できません。対象者が複数の届出では、codeを空欄にしてください。"
    " The field code (住民票コード) must be empty, because this event names its persons in members.",
)
MEMBERS_WRONG_FORM: Final = DeclaredCode(
    f"FORM/{MEMBERS}",
    "対象者（members）に、数字11桁ではない住民票コードがあります。届出の全体を受理しません。"
    " The field members (対象者) has a resident record code that is not 11 digits; nobody of this event is accepted.",
)
MEMBERS_MANY: Final = DeclaredCode(
    f"MANY/{MEMBERS}",
    f"対象者（members）が{MEMBERS_MAX}人を超えています。"
    f" The field members (対象者) names more than {MEMBERS_MAX} persons.",
)
MEMBERS_REPEATED: Final = DeclaredCode(
    f"REPEATED/{MEMBERS}",
    "対象者（members）に同じ人が二度記載されています。"
    " The field members (対象者) names the same person twice.",
)


def _japanese(field: EntityField) -> str:
    return f"{field.japanese}（{field.name}）"


def _english(field: EntityField) -> str:
    return f"{field.name} ({field.japanese})"


def _form(field: EntityField) -> tuple[str, str]:
    """Return what is wrong with a value that doesn't have the form, in Japanese and English."""
    longest = field.characters_max
    if field.choices or field.flags:
        return _form_of_words(field)
    if field.type == "date":
        return (
            "が実在する日付（YYYY-MM-DD）ではありません",
            "is not an existing date in the format YYYY-MM-DD",
        )
    if field.type == "long":
        return (
            f"が金額（円、数字{longest}桁まで）ではありません",
            f"is not an amount in yen of up to {longest} digits",
        )
    if field.pattern == f"^[0-9]{{{longest}}}$":
        return f"が数字{longest}桁ではありません", f"is not {longest} digits"
    if field.pattern != FREE_TEXT:
        return (
            f"の形式が違います（{field.pattern}、{longest}文字まで）",
            f"does not have the form {field.pattern} with up to {longest} characters",
        )
    return (
        f"が{longest}文字より長いか、空白だけか、使えない文字（制御文字、書字方向を変える文字、見えない文字）があります",
        f"is longer than {longest} characters, blank, or has invisible characters (control, direction, zero width)",
    )


def _form_of_words(field: EntityField) -> tuple[str, str]:
    if field.choices:
        return (
            f"が、{'・'.join(field.choices)}のいずれでもありません",
            f"is none of {', '.join(field.choices)}",
        )
    return (
        f"が、{'・'.join(field.flags)}の一つ以上をこの順にコンマで区切ったものではありません",
        f"is not one or several of {', '.join(field.flags)}, in this order and joined by commas",
    )


def codes_of(system: System) -> Iterator[DeclaredCode]:
    """Yield the codes with which submissions of a system with entities may be rejected, beside those of the head."""
    if system.submits_members:
        yield from (MEMBERS_MISSING, MEMBERS_UNEXPECTED, CODE_UNEXPECTED)
        yield from (MEMBERS_WRONG_FORM, MEMBERS_MANY, MEMBERS_REPEATED)
    for field in system.submitted_fields:
        yield from (code(field) for code in (wrong_form, missing, unexpected))
        if field.is_person_ref and system.submits_members:
            yield no_member(field)


#: Every code of every system.
DECLARED_CODES: Final = tuple(
    dict.fromkeys(code for system in GENERATED_SCHEMAS.values() for code in codes_of(system))
)
