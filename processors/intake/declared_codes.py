"""The reasons for which intake rejects an event of a declared entity because of one of the entity's fields.

Codes and sentences follow from the declaration: a new field needs no text of its own. Sentences name the field, never
its content.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.declare import FREE_TEXT, EntityField
from schemas.submission_schemas import GENERATED_SCHEMAS


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


def _japanese(field: EntityField) -> str:
    return f"{field.japanese}（{field.name}）"


def _english(field: EntityField) -> str:
    return f"{field.name} ({field.japanese})"


def _form(field: EntityField) -> tuple[str, str]:
    """Return what is wrong with a value that doesn't have the form, in Japanese and English."""
    longest = field.characters_max
    if field.choices:
        return (
            f"が、{'・'.join(field.choices)}のいずれでもありません",
            f"is none of {', '.join(field.choices)}",
        )
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


#: Every code of every declared field.
DECLARED_CODES: Final = tuple(
    dict.fromkeys(
        code(field)
        for system in GENERATED_SCHEMAS.values()
        for field in system.submitted_fields
        for code in (wrong_form, missing, unexpected)
    )
)
