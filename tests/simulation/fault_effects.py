"""What each fault does to the call that it strikes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import psycopg
from confluent_kafka import KafkaError, KafkaException
from psycopg import errors

from connectors.errors import BrokerUnavailableError, NotDeliveredError
from schemas.topics import transactional_id
from tests.simulation.coordinator import BusyError, NoAnswerError, refusal
from tests.simulation.faults import Fault
from tests.simulation.groups import Groups
from tests.simulation.log import Log

if TYPE_CHECKING:
    from tests.simulation.world import Process

#: `patiently` does the call as a client does; `once` is its request as it arrives, once.
Strike = Callable[["Process", Fault, Callable[[], Any], Callable[[], Any], float], Any]


class CrashError(BaseException):
    """The process is dead: nothing of it is to be run any more but what Python unwinds."""


def _drawn(fault: Fault) -> random.Random:
    return random.Random(fault.draw)  # noqa: S311 - repeatable on purpose


def _timed_out(fault: Fault) -> Exception:
    if fault.call == "relay.send":
        return BrokerUnavailableError("not acknowledged in time")
    return refusal(KafkaError._TIMED_OUT, retriable=True)


def _crash_before(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    process.world.kill(process)
    raise CrashError


def _crash_after(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    patiently()
    process.world.kill(process)
    raise CrashError


def _request_lost(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    process.meanwhile(timeout_s)
    raise _timed_out(fault)


def _answer_lost(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    patiently()
    if fault.call == "produce":
        # The client will ask again; often what took the answer away stops the transaction as well.
        if _drawn(fault).random() < 0.7:
            process.world.faults.behind(fault, "refused, abort", "send_offsets_to_transaction")
        raise NoAnswerError
    process.meanwhile(timeout_s)
    raise _timed_out(fault)


def _request_late(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    def arrives() -> None:
        with suppress(KafkaException, BusyError):
            once()

    drawn, world = _drawn(fault), process.world
    if drawn.random() < 0.5:
        world.time.after(timeout_s + drawn.choice((0.0, 0.5, 20.0)), arrives)
        process.meanwhile(max(0.0, timeout_s - 0.001))
    else:
        # The worst moment: amidst what the same producer, or the next of its slot, asks for afterwards.
        process.meanwhile(timeout_s)
        world.coordinator.overtaken(transactional_id(process.step, process.slot), drawn.randrange(6), arrives)
    raise _timed_out(fault)


def _markers_late(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    drawn, coordinator = _drawn(fault), process.world.coordinator
    coordinator.late = lambda: drawn.choice((0.0, 0.3, 1.0, 6.0, 20.0))
    try:
        return patiently()
    finally:
        coordinator.late = lambda: 0.0


def _rebalance(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    process.world.groups.turn_over(process.group)
    process.meanwhile(_drawn(fault).choice((0.0, 0.2, 2.0)))
    return patiently()


def _partitions_lost(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    process.expelled()
    process.meanwhile(_drawn(fault).choice((0.1, 1.0, 4.0)))
    return patiently()


def _zombie(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    drawn, world = _drawn(fault), process.world
    after = drawn.random() < 0.5
    result = patiently() if after else None
    process.frozen = True
    process.silent()
    if drawn.random() < 0.3 and world.slots[process.step, process.slot] is process:
        world.time.after(drawn.choice((0.5, 12.0)), lambda: world.begin(process.step, process.slot))
    try:
        process.meanwhile(drawn.choice((11.0, 31.0, 150.0)))
    finally:
        process.frozen = False
    world.groups.heartbeats(process.group)
    return result if after else patiently()


def _duplicates(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    process.stale_first()
    return patiently()


def _of_old(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    drawn, world = _drawn(fault), process.world
    of: Log | Groups = world.log if fault.call == "read" else world.groups
    if fault.draw and drawn.random() < 0.5:
        # It is asked again, or leads what is read next too.
        again = replace(fault, draw=fault.draw >> 1)
        world.faults.behind(again, fault.kind, drawn.choice(("committed", "read")))
    of.deposed_by = drawn.choice((1, 2, 5, 20, 60))
    try:
        return patiently()
    finally:
        of.deposed_by = 0


def _for_now(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    if fault.call == "relay.send":
        raise BrokerUnavailableError("no leader")
    if fault.call == "store.connect":
        raise errors.CannotConnectNow
    raise refusal(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True)


def _aborted(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    raise refusal(KafkaError.UNKNOWN_PRODUCER_ID, abort=True)


def _for_good(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    if fault.call == "relay.send":
        raise NotDeliveredError("the broker refused")
    raise refusal(KafkaError._FATAL, fatal=True)


def _disk_full(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    until_s = process.world.time.now_s + _drawn(fault).choice((0.05, 1.0, 8.0, 25.0))
    if fault.call.startswith("store."):
        process.database.full_until_s = until_s
    else:
        process.world.log.full_until_s = until_s
    return patiently()


def _clock_jumps(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    drawn, world = _drawn(fault), process.world
    jump_s = drawn.choice((0.5, 5.0, 30.0, 200.0))
    if drawn.random() < 0.5:
        # This process alone has skipped a while, as far as it can tell.
        process.skew_s += jump_s
    else:
        world.time.pass_to(world.time.now_s + jump_s)
    # A wall clock is put right in either direction.
    world.log.wall_s += drawn.choice((-3_600.0, -1.0, 1.0, 3_600.0))
    return patiently()


def _lost_before(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    process.disconnected()
    raise psycopg.OperationalError("connection lost")


def _lost_after(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    patiently()
    process.disconnected()
    raise psycopg.OperationalError("connection lost")


def _set_back(process: Process, fault: Fault, patiently: Any, once: Any, timeout_s: float) -> Any:
    result = patiently()
    process.database.set_back(_drawn(fault))
    return result


STRIKES: Final[Mapping[str, Strike]] = {
    "crash before": _crash_before,
    "crash after": _crash_after,
    "request lost": _request_lost,
    "answer lost": _answer_lost,
    "request late": _request_late,
    "markers late": _markers_late,
    "rebalance": _rebalance,
    "partitions lost": _partitions_lost,
    "zombie": _zombie,
    "duplicates": _duplicates,
    "answer of old": _of_old,
    "refused for now": _for_now,
    "refused, abort": _aborted,
    "refused for good": _for_good,
    "disk full": _disk_full,
    "clock jumps": _clock_jumps,
    "connection lost before": _lost_before,
    "connection lost after": _lost_after,
    "offset set back": _set_back,
}
