"""Whose file it is: the municipality in its name, unless the submitter says it."""

from __future__ import annotations

import re

from connectors.errors import FileNameError
from schemas.municipalities import is_municipality


def municipality_of(name: str, prefix: str, suffix: str, given: str | None = None) -> str:
    """`given`, or the six digits of `<prefix>_<six digits>[_...].<suffix>`.

    FileNameError where neither is there, or the code has no right check digit.
    """
    found = given or _in_name(name, prefix, suffix)
    if not is_municipality(found):
        raise FileNameError(f"{name}: {found} is no municipality's code (JIS X 0402, six digits)")
    return found


def _in_name(name: str, prefix: str, suffix: str) -> str:
    match = re.fullmatch(rf"{prefix}_([0-9]{{6}})(_.*)?\.{suffix}", name)
    if match is None:
        raise FileNameError(
            f"{name} does not say whose file it is: name it {prefix}_<municipality>.{suffix}, or give the municipality"
        )
    return match[1]
