"""Municipality codes: JIS X 0402, five digits and a check digit; wards of designated cities have their own.

The form is checked, not membership of a list: a notice may name a municipality that has since merged into
another, and a list in the code would refuse it (or a new one) until the next release.
"""

from __future__ import annotations

import re
from typing import Final

#: Moved from or to abroad; has no check digit.
ABROAD: Final = "999999"

_WEIGHTS: Final = (6, 5, 4, 3, 2)
_FORM: Final = re.compile(r"[0-9]{6}")
_PREFECTURES: Final = 47


def check_digit(five: str) -> str:
    """Check digit of the first five digits; ValueError where they aren't five ASCII digits."""
    if not re.fullmatch(r"[0-9]{5}", five):
        raise ValueError("a municipality code begins with five digits")
    total = sum(int(digit) * weight for digit, weight in zip(five, _WEIGHTS, strict=True))
    remainder = total % 11 if total >= 11 else total
    return str(11 - remainder)[-1]


def is_municipality(code: str) -> bool:
    """Whether it has the form of a municipality's code (not a prefecture's own) and the right check digit."""
    return (
        _FORM.fullmatch(code) is not None
        and 1 <= int(code[:2]) <= _PREFECTURES
        and code[2:5] != "000"
        and check_digit(code[:5]) == code[5]
    )


def is_place(code: str) -> bool:
    """Whether somebody can move there or come from there: a municipality, or abroad."""
    return code == ABROAD or is_municipality(code)


def prefecture(code: str) -> str:
    """The prefecture's two digits (JIS X 0401) of a municipality's code."""
    return code[:2]
