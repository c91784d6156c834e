"""The format of each field of a submission. Faults are short codes and never contain the value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date

from infra.verification.reference.notice import CHANGED_FACTS

NUMBER = re.compile(r"[A-Za-z0-9-]{1,32}")
_RUNNING_NUMBER = re.compile(r"[0-9]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CODE = re.compile(r"[0-9]{11}")
_HOUSEHOLD = re.compile(r"[0-9]{12}")
_LOCAL_NUMBER = re.compile(r"[0-9]{13}")
_MUNICIPALITY = re.compile(r"[0-9]{6}")
_READING = re.compile(r"[ァ-ヺー]+\u3000[ァ-ヺー]+")
_HOLDER = re.compile(r"[ァ-ヺー]+([ \u3000][ァ-ヺー]+)*")
#: Categories of characters that can't be seen, and those characters of other categories.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_FILLERS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\uffa0\ufff0-\ufff8]")
_TAGS = re.compile("[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")

ABROAD = "999999"


def is_municipality_code(text: str) -> bool:
    """Return whether `text` is a code of JIS X 0402: five digits and a check digit (weights 6, 5, 4, 3, 2)."""
    if not _MUNICIPALITY.fullmatch(text):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:5], (6, 5, 4, 3, 2), strict=True))
    check = 11 - total if total < 11 else 11 - total % 11
    return int(text[5]) == check % 10


def is_day(text: str) -> bool:
    """Return whether `text` is exactly YYYY-MM-DD and a day of the calendar."""
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_free_text(text: str) -> bool:
    """Return whether `text` is not blank, begins with no variation selector and has no character that can't be seen."""
    if any(unicodedata.category(character) in _UNSEEN for character in text):
        return False
    shown = text.strip()
    return bool(shown) and not (_FILLERS.search(text) or _TAGS.search(text) or _SELECTORS.match(shown))


def is_origin_or_destination(text: str) -> bool:
    """Return whether `text` is empty, abroad or a municipality code."""
    return text in ("", ABROAD) or is_municipality_code(text)


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


#: Field name -> check of its format, in the order of the CSV columns.
FORMATS: dict[str, Callable[[str], bool]] = {
    "running_number": _matches(_RUNNING_NUMBER),
    "notice": _matches(NUMBER),
    "municipality": is_municipality_code,
    "reason": CHANGED_FACTS.__contains__,
    "effective_on": is_day,
    "recorded_on": is_day,
    "household": _matches(_HOUSEHOLD),
    "local_number": _matches(_LOCAL_NUMBER),
    "code": _matches(_CODE),
    "name": is_free_text,
    "kana": _matches(_READING),
    "birth_date": is_day,
    "sex": ("男", "女").__contains__,
    "relationship": is_free_text,
    "address": is_free_text,
    "moved_from": is_origin_or_destination,
    "moved_to": is_origin_or_destination,
    "protected": ("0", "1").__contains__,
    "cancels": lambda text: text == "" or NUMBER.fullmatch(text) is not None,
}
COLUMNS = tuple(FORMATS)

#: Reason -> field that a notice of this reason must not leave empty.
REQUIRED = {"転入": "moved_from", "転出": "moved_to", "取消": "cancels"}


def first_fault(fields: Mapping[str, str]) -> str | None:
    """Return the fault of the first wrong field as `format:<field>`, or None.

    Check the format of the fields that `fields` has, in the order of the columns; then that the field that
    the reason requires is there, and that only a 取消 has `cancels`.
    """
    for name, matches in FORMATS.items():
        if name in fields and not matches(fields[name]):
            return f"format:{name}"
    reason = fields.get("reason", "")
    required = REQUIRED.get(reason)
    if required and not fields.get(required):
        return f"format:{required}"
    return "format:cancels" if reason and reason != "取消" and fields.get("cancels") else None


#: Field of an account event -> check of its format. A CLOSED event may omit the last five: `holder_kana`, `bank`,
#: `branch`, `type` and `number`.
ACCOUNT_FORMATS: dict[str, Callable[[str], bool]] = {
    "event": ("REGISTERED", "CHANGED", "CLOSED").__contains__,
    "account": _matches(re.compile(r"[A-Za-z0-9._-]{1,64}")),
    "code": _matches(_CODE),
    "effective_on": is_day,
    "holder_kana": lambda text: len(text) <= 100 and _HOLDER.fullmatch(text) is not None,
    "bank": _matches(re.compile(r"[0-9]{4}")),
    "branch": _matches(re.compile(r"[0-9]{3}")),
    "type": lambda text: len(text) <= 20 and is_free_text(text),
    "number": _matches(re.compile(r"[0-9]{7}")),
}


def first_account_fault(fields: Mapping[str, str]) -> str | None:
    """Return the first missing or wrong field of an account event as `format:<field>`, or None."""
    required = tuple(ACCOUNT_FORMATS)[: 4 if fields.get("event") == "CLOSED" else None]
    for name, matches in ACCOUNT_FORMATS.items():
        if name in fields:
            if not matches(fields[name]):
                return f"format:{name}"
        elif name in required:
            return f"format:{name}"
    return None
