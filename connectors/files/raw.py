"""What can't be given in fields is carried as it came."""

from __future__ import annotations

import base64

#: Codes of faults, as intake knows them.
ENCODING = "encoding"
COLUMNS = "columns"
NOT_JSON = "json"
FORM = "form"


def as_it_came(content: bytes) -> str:
    """Base64 of a row or line without its end."""
    return base64.b64encode(content).decode("ascii")
