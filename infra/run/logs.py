"""Logs as JSON lines, without personal data: a key that isn't known to be harmless doesn't pass.

What passes: the keys of ALLOWED, with numbers, booleans, and short words of the alphabet of names of topics, files
and errors. A resident's name, code or address fits none of these forms.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

#: Keys that a line may have. `dropped` counts what was left out.
ALLOWED: Final = frozenset(
    {
        "event", "level", "timestamp", "step", "slot", "domain", "system", "topic", "partition", "partitions",
        "offset", "offset_next", "records", "rows", "receipts", "dead", "duration_ms", "error", "reason", "kind",
        "at", "count", "pid", "store", "state", "dropped", "attempt", "attempts", "delay_s", "lag", "sqlstate",
        "command", "group", "signal", "status", "exit_code", "version", "bytes", "next_offset", "digest", "entries",
    }
)  # fmt: skip
#: Words, without long runs of digits: a code of a person has eleven or more, a mesh code 38 letters in a row.
_WORD: Final = re.compile(r"(?!.*[0-9]{7})(?!.*[A-Za-z0-9_-]{36})[A-Za-z0-9_.:/ <>()-]{1,120}")

Event = MutableMapping[str, Any]


def without_persons(_: Any, __: str, event: Event) -> Event:
    """Drops every key that isn't allowed and every value of another form, and says how many it dropped."""
    kept = {key: value for key, value in event.items() if key in ALLOWED and _harmless(key, value)}
    dropped = len(event) - len(kept)
    return kept | {"dropped": dropped} if dropped else kept


def configure(step: str, slot: int) -> None:
    """Logs of this process go to standard output, which the supervisor leads into the worker's file."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _of(step, slot),
            without_persons,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # Libraries' own lines may quote what they choke on.
    logging.basicConfig(level=logging.CRITICAL, handlers=[logging.NullHandler()])


def _of(step: str, slot: int) -> Any:
    def add(_: Any, __: str, event: Event) -> Event:
        return {"step": step, "slot": slot, **event}

    return add


def _harmless(key: str, value: Any) -> bool:
    if isinstance(value, (bool, int, float)) or value is None:
        return True
    if isinstance(value, str):
        return key == "timestamp" or _WORD.fullmatch(value) is not None
    return isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, str)) and _harmless(key, v) for v in value
    )
