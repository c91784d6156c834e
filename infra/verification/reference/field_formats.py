"""The form that each column is held to. A fault is a short code, never the value."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date

from infra.verification.reference.notice import CHANGES

NUMBER = re.compile(r"[0-9]{5}-[0-9]{1,20}")
_RUNNING = re.compile(r"[0-9]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CODE = re.compile(r"[0-9]{11}")
_HOUSEHOLD = re.compile(r"[0-9]{12}")
_LOCAL = re.compile(r"[0-9]{13}")
_MUNICIPALITY = re.compile(r"[0-9]{6}")
_READING = re.compile(r"[ァ-ヺー]+\u3000[ァ-ヺー]+")
_HOLDER = re.compile(r"[ァ-ヺー]+([ \u3000][ァ-ヺー]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

ABROAD = "999999"


def municipality_code(text: str) -> bool:
    """JIS X 0402: five digits and a check digit, from the digits weighed 6, 5, 4, 3, 2."""
    if not _MUNICIPALITY.fullmatch(text):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text[:5], (6, 5, 4, 3, 2), strict=True))
    check = 11 - total if total < 11 else 11 - total % 11
    return int(text[5]) == check % 10


def day(text: str) -> bool:
    """Exactly YYYY-MM-DD, and a day of the calendar."""
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def words(text: str) -> bool:
    """Free text: something is there, and no control character."""
    return bool(text.strip()) and not _CONTROL.search(text)


def elsewhere(text: str) -> bool:
    """A place moved from or to: none, abroad or a municipality."""
    return text in ("", ABROAD) or municipality_code(text)


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda text: pattern.fullmatch(text) is not None


#: Form of each field, in the order of the columns.
FORMS: dict[str, Callable[[str], bool]] = {
    "running": _matches(_RUNNING),
    "notice": _matches(NUMBER),
    "municipality": municipality_code,
    "reason": CHANGES.__contains__,
    "effective_on": day,
    "recorded_on": day,
    "household": _matches(_HOUSEHOLD),
    "local_number": _matches(_LOCAL),
    "code": _matches(_CODE),
    "name": words,
    "kana": _matches(_READING),
    "birth_date": day,
    "sex": ("男", "女").__contains__,
    "relationship": words,
    "address": words,
    "moved_from": elsewhere,
    "moved_to": elsewhere,
    "protected": ("0", "1").__contains__,
    "cancels": lambda text: text == "" or NUMBER.fullmatch(text) is not None,
}
COLUMNS = tuple(FORMS)

#: What a reason can't do without, beyond the form of the column.
REQUIRED = {"転入": "moved_from", "転出": "moved_to", "取消": "cancels"}


def fault(fields: Mapping[str, str]) -> str | None:
    """The first field, in the order of the columns, that is not of its form; None where all are."""
    for name, fits in FORMS.items():
        if name in fields and not fits(fields[name]):
            return f"form:{name}"
    reason = fields.get("reason", "")
    needed = REQUIRED.get(reason)
    if needed and not fields.get(needed):
        return f"form:{needed}"
    return "form:cancels" if reason and reason != "取消" and fields.get("cancels") else None


#: Form of each field of an account's event; a closing may leave the last five away.
ACCOUNT_FORMS: dict[str, Callable[[str], bool]] = {
    "event": ("REGISTERED", "CHANGED", "CLOSED").__contains__,
    "account": _matches(re.compile(r"[A-Za-z0-9._-]{1,64}")),
    "code": _matches(_CODE),
    "effective_on": day,
    "holder_kana": lambda text: len(text) <= 100 and _HOLDER.fullmatch(text) is not None,
    "bank": _matches(re.compile(r"[0-9]{4}")),
    "branch": _matches(re.compile(r"[0-9]{3}")),
    "type": lambda text: len(text) <= 20 and words(text),
    "number": _matches(re.compile(r"[0-9]{7}")),
}


def fault_of_account(fields: Mapping[str, str]) -> str | None:
    """The first field of an account's event that is missing or not of its form; None where all are right."""
    needed = tuple(ACCOUNT_FORMS)[: 4 if fields.get("event") == "CLOSED" else None]
    asked = [name for name in ACCOUNT_FORMS if name in needed or name in fields]
    wrong = (name for name in asked if name not in fields or not ACCOUNT_FORMS[name](fields[name]))
    return next((f"form:{name}" for name in wrong), None)
