"""The clock: submits the days that have begun, then sleeps until the next one begins."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from connectors.errors import TransientError
from connectors.publish import KafkaPublisher, Publisher, PublishSettings, ingest
from infra.apply.installation import Installation
from infra.clock.begun_days import begun_day, days_to_submit, ms_until_next
from infra.clock.source import DaysSource, file_of, last_submitted
from infra.coding import codec
from infra.environment import Environment
from infra.errors import NoEnvironmentError, StackError

#: Longest sleep: the machine may have been suspended, or its clock set.
SLEEP_MAX_S: Final = 60.0
#: Pause after a server didn't answer.
RETRY_S: Final = 10.0
#: The two calls of a broker that doesn't answer last so long each: the clock ends within eight seconds of SIGTERM.
DELIVERY_TIMEOUT_S: Final = 4.0

#: Errors that pass by themselves once the servers run again.
_UNAVAILABLE: Final = (TransientError, NoEnvironmentError, StackError)

#: Called with the days that the broker has.
Submitted = Callable[[Sequence[date]], None]
#: Called with the error of an attempt that is repeated.
Failed = Callable[[Exception], None]


def submit_begun_days(file: Path, now_ms: int, publisher: Callable[[], Publisher]) -> list[date]:
    """Submit the days that have begun since the last one in `file`; return them when the broker has them.

    Raise ConnectorError where it doesn't take them, and OperatorError for a damaged file. A day may be submitted twice
    if this process ends before it has written the file; the second time has no effect.
    """
    days = days_to_submit(last_submitted(file), begun_day(now_ms))
    if days:
        ingest(DaysSource(file, days), publisher())
    return days


def run(
    submit: Callable[[], Sequence[date]],
    stop: threading.Event,
    now_ms: Callable[[], int],
    submitted: Submitted,
    failed: Failed,
) -> None:
    """Submit each day once it has begun, until `stop`; repeat attempts that fail because a server doesn't answer."""
    while not stop.is_set():
        try:
            days = submit()
        except _UNAVAILABLE as error:
            failed(error)
            stop.wait(RETRY_S)
            continue
        if days:
            submitted(days)
        stop.wait(min(SLEEP_MAX_S, ms_until_next(now_ms()) / 1000))


def run_clock(installation: Installation, submitted: Submitted, failed: Failed) -> None:
    """Run the clock of an installation until SIGTERM or SIGINT. Raise ConnectorError, OperatorError as above."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = PublishSettings(delivery_timeout_s=DELIVERY_TIMEOUT_S)
    run(lambda: submit_now(installation, settings), stop, _now_ms, submitted, failed)


def submit_now(installation: Installation, settings: PublishSettings) -> list[date]:
    """Submit the days that have begun by now to the servers that run now, and return them."""
    return submit_begun_days(
        file_of(installation), _now_ms(), lambda: _publisher(Environment.load(), installation, settings)
    )


def _publisher(
    environment: Environment, installation: Installation, settings: PublishSettings
) -> KafkaPublisher:
    return KafkaPublisher(environment.kafka, codec(environment, installation), settings)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
