"""The clock: which days it submits when, and what it remembers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import BrokerUnavailableError, NotDeliveredError
from connectors.source import Route, SubmissionBatch
from infra.apply.installation import Installation
from infra.clock.begun_days import AFTER_MIDNIGHT_MS, DAYS_MAX, begun_day, days_to_submit, ms_until_next
from infra.clock.source import file_of, last_submitted
from infra.clock.ticking import RETRY_S, SLEEP_MAX_S, run, run_clock, submit_begun_days
from infra.errors import OperatorError
from infra.monitoring.groups import all_joined
from infra.run.given_up import given_up_workers
from infra.run.slots import slots
from infra.run.supervisor import RunningSupervisor, WorkerState

JAPAN = timezone(timedelta(hours=9))


def at(text: str) -> int:
    """Return a time in Japan in milliseconds since 1970."""
    return round(datetime.fromisoformat(text).replace(tzinfo=JAPAN).timestamp() * 1000)


class Broker:
    """A publisher that keeps the days that it is sent, or raises an error at the next flush."""

    def __init__(self) -> None:
        self.days: list[str] = []
        self.routes: list[Route] = []
        self.error: Exception | None = None
        self._unacknowledged: list[str] = []

    def prepare(self, routes: Collection[Route]) -> None:
        """Keep the routes."""
        self.routes.extend(routes)

    def send(self, batch: SubmissionBatch) -> None:
        """Take days."""
        self._unacknowledged += batch.table["day"].to_pylist()

    def flush(self) -> None:
        """Acknowledge the days."""
        sent, self._unacknowledged = self._unacknowledged, []
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.days += sent


@pytest.fixture
def broker() -> Broker:
    """Return a broker without days."""
    return Broker()


@pytest.fixture
def submit(broker: Broker, tmp_path: Path) -> Callable[[str], list[date]]:
    """Return a function that submits what has begun at a time in Japan."""
    file = file_of(Installation(tmp_path))
    return lambda text: submit_begun_days(file, at(text), lambda: broker)


Submit = Callable[[str], list[date]]


def test_the_first_start_submits_only_today(submit: Submit, broker: Broker, tmp_path: Path) -> None:
    """On the route of the clock; the file has the day once the broker has it."""
    submit("2026-10-01T12:00")
    assert broker.days == ["2026-10-01"]
    assert [(route.topic, route.user) for route in broker.routes] == [("in.clock", "clock")]
    assert last_submitted(file_of(Installation(tmp_path))) == date(2026, 10, 1)


def test_the_days_of_a_stop_are_submitted_in_order(submit: Submit, broker: Broker) -> None:
    """Every day once, over the end of a month."""
    submit("2026-09-29T12:00")
    submit("2026-10-02T12:00")
    assert submit("2026-10-02T13:00") == []
    assert broker.days == ["2026-09-29", "2026-09-30", "2026-10-01", "2026-10-02"]


def test_of_a_very_long_stop_only_the_last_days_are_submitted() -> None:
    """A day stands for all before it."""
    days = days_to_submit(date(1970, 1, 1), date(2026, 10, 1))
    assert len(days) == DAYS_MAX
    assert days[-1] == date(2026, 10, 1)


def test_a_day_begins_a_minute_after_midnight_in_japan(submit: Submit, broker: Broker) -> None:
    """Then it has begun for a broker too whose clock is a little late; days in UTC don't matter."""
    assert AFTER_MIDNIGHT_MS == 60_000
    submit("2026-09-30T00:01:00")
    assert submit("2026-09-30T23:59:59.999") == []
    assert submit("2026-10-01T00:00:59.999") == []
    assert submit("2026-10-01T00:01:00") == [date(2026, 10, 1)]
    assert broker.days == ["2026-09-30", "2026-10-01"]


@given(now_ms=st.integers(0, 4_000_000_000_000))
def test_the_next_day_begins_when_it_is_announced(now_ms: int) -> None:
    """Not a millisecond earlier."""
    wait = ms_until_next(now_ms)
    assert 0 < wait <= 86_400_000
    assert begun_day(now_ms + wait - 1) == begun_day(now_ms)
    assert begun_day(now_ms + wait) == begun_day(now_ms) + timedelta(days=1)


@given(times=st.lists(st.integers(0, 40), min_size=1))
def test_a_machine_clock_that_jumps_repeats_no_day(times: list[int]) -> None:
    """Days are submitted in increasing order, each at most once, and none is in the future."""
    start, submitted = date(2026, 1, 1), list[date]()
    for number in times:
        today = start + timedelta(days=number)
        days = days_to_submit(submitted[-1] if submitted else None, today)
        assert all(day <= today for day in days)
        submitted += days
    first = start + timedelta(days=times[0])
    assert submitted == [first + timedelta(days=n) for n in range(max(times) - times[0] + 1)]


@pytest.mark.parametrize("error", [BrokerUnavailableError("down"), NotDeliveredError("denied")])
def test_a_day_without_acknowledgement_is_submitted_again(
    submit: Submit, broker: Broker, error: Exception
) -> None:
    """The file is written afterwards."""
    broker.error = error
    with pytest.raises(type(error)):
        submit("2026-10-01T12:00")
    assert broker.days == []
    assert submit("2026-10-02T12:00") == [date(2026, 10, 2)]


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"day": 1}', b'{"day": "2026-13-01"}'])
def test_a_damaged_file_is_an_error_with_a_way_out(submit: Submit, tmp_path: Path, content: bytes) -> None:
    """Otherwise days could be repeated or left out without a word."""
    file_of(Installation(tmp_path)).write_bytes(content)
    with pytest.raises(OperatorError, match="delete it"):
        submit("2026-10-01T12:00")


class Stop(threading.Event):
    """An event that is set after so many waits, and keeps how long each was to last, in seconds."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.waits: list[float | None] = []
        self._number = waits

    def wait(self, timeout: float | None = None) -> bool:
        """Return at once."""
        self.waits.append(timeout)
        if len(self.waits) == self._number:
            self.set()
        return self.is_set()


def test_the_clock_tries_again_until_the_broker_answers() -> None:
    """After a pause, and it says so each time; then it sleeps until the next day, but wakes up now and then."""
    outcomes: list[Exception | list[date]] = [
        BrokerUnavailableError("down"),
        BrokerUnavailableError("down"),
        [date(2026, 10, 1)],
        [],
    ]
    now = iter([at("2026-10-01T12:00"), at("2026-10-02T00:00:40")])

    def attempt() -> Sequence[date]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    stop, failed = Stop(4), list[Exception]()
    submitted: list[Sequence[date]] = []
    run(attempt, stop, lambda: next(now), submitted.append, failed.append)
    assert stop.waits == [RETRY_S, RETRY_S, SLEEP_MAX_S, 20.0]
    assert submitted == [[date(2026, 10, 1)]]
    assert len(failed) == 2


def test_an_error_that_no_attempt_can_mend_ends_the_clock() -> None:
    """The supervisor restarts it, and gives it up if that doesn't help, which `mesh status` shows."""

    def attempt() -> Sequence[date]:
        raise NotDeliveredError("denied")

    with pytest.raises(NotDeliveredError):
        run(attempt, Stop(1), lambda: 0, lambda days: None, lambda error: None)


def test_a_signal_ends_the_clock_while_no_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It doesn't wait for the end of a pause."""
    monkeypatch.setenv("MESH_HOME", str(tmp_path))
    monkeypatch.delenv("MESH_SECRETS", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    failures: list[Exception] = []

    def failed(error: Exception) -> None:
        failures.append(error)
        signal.raise_signal(signal.SIGTERM)

    try:
        run_clock(Installation(tmp_path), lambda days: None, failed)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert [type(error).__name__ for error in failures] == ["NoEnvironmentError"]


def test_nobody_waits_until_the_clock_joins_a_group(tmp_path: Path) -> None:
    """It is in none: no server is asked. If it is given up, that is an error as for any worker."""
    assert all_joined(None, slots(["clock"], 1))  # type: ignore[arg-type]
    states = (WorkerState("clock", 0, "given-up", None, 12, 1),)
    (worker,) = given_up_workers(Installation(tmp_path), RunningSupervisor(1, states))
    assert str(worker).startswith("clock.0 (exit code 1")
