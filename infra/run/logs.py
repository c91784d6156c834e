"""Logs as JSON lines, without personal data: only known keys with harmless values pass.

The keys of ALLOWED pass, with numbers, booleans, and short texts in the alphabet of topic names, file names and error
names. A resident's name, code or address matches none of these.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

#: Keys that a line may have. `dropped` is the number of keys that were dropped from it.
ALLOWED: Final = frozenset(
    {
        "event", "level", "timestamp", "step", "slot", "domain", "topic", "partition", "partitions", "offset",
        "offset_next", "records", "entries", "digest", "duration_ms", "error", "reason", "at", "store", "attempt",
        "action", "command", "status", "exit_code", "dropped", "offset_first", "offset_end",
    }
)  # fmt: skip
#: No long run of digits or letters: a resident record code has 11 digits, a mesh code 38 letters.
_SAFE_TEXT: Final = re.compile(r"(?!.*[0-9]{7})(?!.*[A-Za-z0-9_-]{36})[A-Za-z0-9_.:/ <>()-]{1,120}")

Event = MutableMapping[str, Any]


def drop_unsafe(_: Any, __: str, event: Event) -> Event:
    """Return the event without unknown keys and unsafe values, and with the number of dropped keys in `dropped`."""
    safe = {key: value for key, value in event.items() if key in ALLOWED and _is_safe(key, value)}
    dropped = len(event) - len(safe)
    return safe | {"dropped": dropped} if dropped else safe


def configure(step: str, slot: int) -> None:
    """Write this process's logs to standard output, which the supervisor redirects to the worker's log file."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _worker_fields(step, slot),
            drop_unsafe,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    # Log lines of libraries may quote data, so they are dropped.
    logging.basicConfig(level=logging.CRITICAL, handlers=[logging.NullHandler()])


def _worker_fields(step: str, slot: int) -> Any:
    def add(_: Any, __: str, event: Event) -> Event:
        return {"step": step, "slot": slot, **event}

    return add


def _is_safe(key: str, value: Any) -> bool:
    if isinstance(value, (bool, int, float)) or value is None:
        return True
    if isinstance(value, str):
        return key == "timestamp" or _SAFE_TEXT.fullmatch(value) is not None
    return isinstance(value, (list, tuple)) and all(
        isinstance(v, (int, str)) and _is_safe(key, v) for v in value
    )
