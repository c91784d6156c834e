"""Whatever call of a transaction fails, before or after it took effect, each record counts once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import DeniedError, FencedError, StoppedError, UnavailableError
from streams.pipeline import Pipeline
from streams.testing.driver import TopologyTestDriver
from streams.testing.memory_log import MemoryConsumer
from tests.unit.streams import toys

AMOUNTS = [("a", 1), ("b", 2), ("a", 3), ("c", 4), (toys.POISON, 1), ("b", -2), ("a", 5), ("b", 1)]

CALLS = ("begin_transaction", "produce", "send_offsets_to_transaction", "commit_transaction")
#: Errors that a pipeline recovers from by itself.
ERRORS: dict[str, Callable[[], KafkaError]] = {
    "timeout": lambda: KafkaError(KafkaError._TIMED_OUT, retriable=True),
    "abort": lambda: KafkaError(KafkaError.UNKNOWN_PRODUCER_ID, txn_requires_abort=True),
    "retry": lambda: KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True),
    "in flight": lambda: KafkaError(KafkaError.INVALID_TXN_STATE, fatal=True),
}


class Strikes:
    """Fails the chosen calls, each once: by their number among all calls of that name."""

    def __init__(self, chosen: dict[tuple[str, str, int], KafkaError]) -> None:
        self._chosen, self._seen = dict(chosen), dict[tuple[str, str], int]()
        self.struck = 0

    def __call__(self, call: str, when: str) -> None:
        """Raises where this call is one of those chosen."""
        number = self._seen.get((call, when), 0)
        self._seen[call, when] = number + 1
        error = self._chosen.pop((call, when, number), None)
        if error is not None:
            self.struck += 1
            raise KafkaException(error)


def struck(
    chosen: dict[tuple[str, str, int], KafkaError], seed: int | None = None
) -> tuple[TopologyTestDriver, Strikes]:
    """The toy steps after AMOUNTS, with these calls failed."""
    driver = toys.driver(seed, cut=None if seed is not None else 2)
    strikes = Strikes(chosen)
    driver.log.on_call = strikes
    toys.feed(driver, AMOUNTS)
    driver.run()
    return driver, strikes


def all_once(driver: TopologyTestDriver) -> None:
    """Nothing lost, doubled or torn, in outputs, state and dead letters."""
    assert toys.told(driver) == toys.expected(AMOUNTS)
    assert [each["offset"] for each in driver.dead_letters("double")] == [4]
    driver.restart("total")
    toys.feed(driver, [("a", 1), ("b", 1)])
    driver.log.on_call = lambda call, when: None
    driver.run()
    assert toys.told(driver) == toys.expected([*AMOUNTS, ("a", 1), ("b", 1)])


def test_a_client_whose_queue_is_full_is_waited_for() -> None:
    """Every third record, and some of them twice: none is lost or sent twice, and none overtakes another."""
    calls = [0]

    def full(call: str, when: str) -> None:
        if (call, when) == ("produce", "before"):
            calls[0] += 1
            if calls[0] % 3 == 0 or calls[0] % 7 == 1:
                raise BufferError

    driver = toys.driver(cut=2)
    driver.log.on_call = full
    toys.feed(driver, AMOUNTS)
    driver.run()
    all_once(driver)


def cases() -> list[tuple[str, str, str]]:
    """Each call with each error, before it took effect and after; only those that the client can answer so."""
    remote = CALLS[2:]
    before = [(call, "before", error) for call in CALLS for error in ERRORS]
    after = [(call, "after", error) for call in remote for error in ERRORS]
    return [
        (call, when, error)
        for call, when, error in before + after
        if error != "retry" or (call in remote and when == "before")
    ]


@pytest.mark.parametrize(("call", "when", "error"), cases())
def test_a_call_that_fails_once_changes_nothing(call: str, when: str, error: str) -> None:
    """Each call of a transaction, with each verdict, before it took effect and after."""
    driver, strikes = struck({(call, when, 1): ERRORS[error]()})
    assert strikes.struck == 1
    all_once(driver)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    chosen=st.dictionaries(
        st.tuples(
            st.sampled_from([*CALLS, "abort_transaction", "init_transactions"]),
            st.sampled_from(["before", "after"]),
            st.integers(0, 12),
        ),
        st.sampled_from(["timeout", "abort", "in flight"]),
        max_size=12,
    ),
)
def test_any_failures_change_nothing(seed: int, chosen: dict[tuple[str, str, int], str]) -> None:
    """Failures at any calls of any transactions, in batches of any size."""
    chosen = {place: "timeout" if "init" in place[0] else error for place, error in chosen.items()}
    driver, _ = struck({place: ERRORS[error]() for place, error in chosen.items()}, seed)
    all_once(driver)


@pytest.mark.parametrize(
    ("error", "stops_with"),
    [
        (KafkaError(KafkaError._FENCED, fatal=True), FencedError),
        (KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), DeniedError),
        (KafkaError(KafkaError._FATAL, fatal=True), StoppedError),
        (KafkaError(KafkaError.UNKNOWN), StoppedError),
    ],
)
def test_fatal_and_unknown_errors_stop(error: KafkaError, stops_with: type[Exception]) -> None:
    """We never guess; and what was begun is not seen."""
    with pytest.raises(stops_with):
        struck({("send_offsets_to_transaction", "before", 0): error})


def test_a_broker_that_never_gets_better_stops_the_worker() -> None:
    """Every retry has an end."""
    driver = toys.driver()
    driver.log.on_call = _always
    toys.feed(driver, AMOUNTS)
    with pytest.raises(UnavailableError, match="one after the other"):
        driver.run()
    assert driver.topics() == ["in.item"]


def test_what_takes_too_long_at_once_is_committed_in_parts() -> None:
    """A transaction of more than three records is never committed in time: batches get smaller until they are."""
    sent = [0]

    def slow(call: str, when: str) -> None:
        if call == "begin_transaction":
            sent[0] = 0
        elif (call, when) == ("produce", "before"):
            sent[0] += 1
        elif (call, when) == ("commit_transaction", "before") and sent[0] > 3:
            raise KafkaException(ERRORS["timeout"]())

    driver = toys.driver()
    driver.log.on_call = slow
    toys.feed(driver, AMOUNTS)
    driver.run()
    assert toys.told(driver) == toys.expected(AMOUNTS)


def _always(call: str, when: str) -> None:
    if call == "commit_transaction":
        raise KafkaException(ERRORS["abort"]())


def _turn_until_records(worker: Pipeline) -> None:
    for _ in range(10):
        if worker.run_once():
            return
    raise AssertionError("no records")


def test_a_slot_taken_over_stops_the_one_before() -> None:
    """The next producer of the same transactional.id fences: a zombie commits nothing."""
    driver = toys.driver(cut=1)
    toys.feed(driver, [("a", 1), ("b", 1)])
    zombie = driver._pipeline(driver._steps[0])
    _turn_until_records(zombie)
    driver.restart("double")
    driver.run("double")
    toys.feed(driver, [("c", 1)])
    with pytest.raises(FencedError):
        _turn_until_records(zombie)
    driver.run()
    assert toys.told(driver) == {"a": [2], "b": [2], "c": [2]}


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("call", ["begin_transaction", "send_offsets_to_transaction", "commit_transaction"])
def test_partitions_that_go_take_their_records_with_them(
    call: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebalance while a batch is at work: offsets of an old generation are refused, and nothing counts twice."""
    consumers: list[MemoryConsumer] = []
    made = MemoryConsumer.__init__

    def noted(self: MemoryConsumer, *given: object) -> None:
        consumers.append(self)
        made(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryConsumer, "__init__", noted)
    driver = toys.driver(cut=2)
    seen = dict[str, int]()

    def strike(name: str, when: str) -> None:
        seen[name] = seen.get(name, 0) + (when == "before")
        if (name, when, seen[name]) == (call, "before", 3):
            driver.log.generations[consumers[-1]._group] += 1
            consumers[-1].revoke_all(lost)

    driver.log.on_call = strike
    toys.feed(driver, AMOUNTS)
    driver.run()
    assert toys.told(driver) == toys.expected(AMOUNTS)


def test_after_each_mark_that_fails_the_group_is_heard_first() -> None:
    """Whichever of the two failed, and whatever failed before: the next turn reads, and tries no mark."""
    timeout = ERRORS["timeout"]
    driver = toys.driver()
    driver.log.on_call = Strikes(
        {
            ("send_offsets_to_transaction", "before", 0): timeout(),
            ("send_offsets_to_transaction", "before", 1): timeout(),
            ("produce", "before", 0): timeout(),
        }
    )
    toys.feed(driver, AMOUNTS)
    worker = driver._pipeline(driver._steps[0])
    failed = []
    for _ in range(7):
        worker.run_once()
        failed.append(worker._failed_last_run)
    assert failed == [False, True, False, True, False, True, False]
    driver.run()
    all_once(driver)


def test_an_act_that_is_read_after_a_failure_is_not_forgotten() -> None:
    """In that turn it isn't done; in the next it is."""
    driver = toys.driver()
    toys.feed(driver, [(toys.POISON, 1)])
    driver.run()
    (letter,) = driver.dlq_entries("double")
    driver.send_command("double", "DISMISS", letter["digest"])
    driver._pipelines["double"]._failed_last_run = True
    driver.run()
    assert driver.dlq_entries("double") == []
