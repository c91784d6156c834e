"""Municipality codes: JIS X 0402, five digits and a check digit; wards of designated cities have codes of their own.

The functions check the format, not membership in a list: a notice may name a municipality that has since merged into
another one, and a list in the code would reject new municipalities until the next release.
"""

from __future__ import annotations

import re
from typing import Final

#: Code for abroad in moves from and to a municipality; it has no check digit.
ABROAD: Final = "999999"

_WEIGHTS: Final = (6, 5, 4, 3, 2)
_SIX_DIGITS: Final = re.compile(r"[0-9]{6}")
_PREFECTURES: Final = 47


def check_digit(five: str) -> str:
    """Return the check digit for the first five digits. Raise ValueError if they aren't five ASCII digits."""
    if not re.fullmatch(r"[0-9]{5}", five):
        raise ValueError("a municipality code must begin with five ASCII digits")
    total = sum(int(digit) * weight for digit, weight in zip(five, _WEIGHTS, strict=True))
    remainder = total % 11 if total >= 11 else total
    return str(11 - remainder)[-1]


def is_municipality(code: str) -> bool:
    """Return whether a code has the format of a municipality code (not of a prefecture) and the right check digit."""
    return (
        _SIX_DIGITS.fullmatch(code) is not None
        and 1 <= int(code[:2]) <= _PREFECTURES
        and code[2:5] != "000"
        and check_digit(code[:5]) == code[5]
    )


def is_municipality_or_abroad(code: str) -> bool:
    """Return whether a person can move from or to this code: a municipality, or abroad."""
    return code == ABROAD or is_municipality(code)
