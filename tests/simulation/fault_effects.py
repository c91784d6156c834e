"""The effect of each kind of fault on the call at which it is injected."""

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
from tests.simulation.coordinator import BusyError, NoAnswerError, kafka_exception
from tests.simulation.faults import Fault
from tests.simulation.groups import GroupCoordinator
from tests.simulation.log import Log

if TYPE_CHECKING:
    from tests.simulation.world import Process

#: Takes the process, the fault, the call with the client's own retries (`call`), one bare request (`send`), and the
#: call's timeout in seconds.
FaultEffect = Callable[["Process", Fault, Callable[[], Any], Callable[[], Any], float], Any]


class CrashError(BaseException):
    """The process is dead: it executes nothing more, except what Python unwinds."""


def _random_of(fault: Fault) -> random.Random:
    return random.Random(fault.detail_seed)  # noqa: S311 - repeatable on purpose


def _timed_out(fault: Fault) -> Exception:
    if fault.call == "relay.send":
        return BrokerUnavailableError("not acknowledged in time")
    return kafka_exception(KafkaError._TIMED_OUT, retriable=True)


def _crash_before(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    process.world.kill(process)
    raise CrashError


def _crash_after(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    call()
    process.world.kill(process)
    raise CrashError


def _request_lost(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    process.let_others_run(timeout_s)
    raise _timed_out(fault)


def _answer_lost(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    call()
    if fault.call == "produce":
        # The client will send again; often the cause of the lost answer makes the transaction fail as well.
        if _random_of(fault).random() < 0.7:
            process.world.faults.add_follow_up(fault, "abortable error", "send_offsets_to_transaction")
        raise NoAnswerError
    process.let_others_run(timeout_s)
    raise _timed_out(fault)


def _request_late(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    def arrive() -> None:
        with suppress(KafkaException, BusyError):
            send()

    drawn, world = _random_of(fault), process.world
    if drawn.random() < 0.5:
        world.time.after(timeout_s + drawn.choice((0.0, 0.5, 20.0)), arrive)
        process.let_others_run(max(0.0, timeout_s - 0.001))
    else:
        # The worst moment: between later requests of the same producer, or of the next one in its slot.
        process.let_others_run(timeout_s)
        name = transactional_id(process.step, process.slot)
        world.coordinator.delay_request(name, drawn.randrange(6), arrive)
    raise _timed_out(fault)


def _markers_late(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    drawn, coordinator = _random_of(fault), process.world.coordinator
    coordinator.marker_delay_s = lambda: drawn.choice((0.0, 0.3, 1.0, 6.0, 20.0))
    try:
        return call()
    finally:
        coordinator.marker_delay_s = lambda: 0.0


def _rebalance(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    process.world.groups.rotate_assignment(process.group)
    process.let_others_run(_random_of(fault).choice((0.0, 0.2, 2.0)))
    return call()


def _partitions_lost(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    process.expel()
    process.let_others_run(_random_of(fault).choice((0.1, 1.0, 4.0)))
    return call()


def _zombie(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    drawn, world = _random_of(fault), process.world
    after_call = drawn.random() < 0.5
    result = call() if after_call else None
    process.frozen = True
    process.silence()
    if drawn.random() < 0.3 and world.slots[process.step, process.slot] is process:
        world.time.after(drawn.choice((0.5, 12.0)), lambda: world.start_process(process.step, process.slot))
    try:
        process.let_others_run(drawn.choice((11.0, 31.0, 150.0)))
    finally:
        process.frozen = False
    world.groups.heartbeats(process.group)
    return result if after_call else call()


def _duplicates(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    process.return_stale_records_first()
    return call()


def _stale_answer(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    drawn, world = _random_of(fault), process.world
    stale: Log | GroupCoordinator = world.groups if fault.call == "committed" else world.log
    if fault.detail_seed and drawn.random() < 0.5:
        # The stale broker is asked again, or also leads what is read next.
        next_fault = replace(fault, detail_seed=fault.detail_seed >> 1)
        world.faults.add_follow_up(next_fault, fault.kind, drawn.choice(("committed", "read")))
    stale.stale_by = drawn.choice((1, 2, 5, 20, 60))
    try:
        return call()
    finally:
        stale.stale_by = 0


def _retriable_error(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    if fault.call == "relay.send":
        raise BrokerUnavailableError("no leader")
    if fault.call == "store.connect":
        raise errors.CannotConnectNow
    raise kafka_exception(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True)


def _abortable_error(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    raise kafka_exception(KafkaError.UNKNOWN_PRODUCER_ID, abort=True)


def _fatal_error(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    if fault.call == "relay.send":
        raise NotDeliveredError("the broker rejected the records")
    raise kafka_exception(KafkaError._FATAL, fatal=True)


def _disk_full(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    until_s = process.world.time.now_s + _random_of(fault).choice((0.05, 1.0, 8.0, 25.0))
    if fault.call.startswith("store."):
        process.database.disk_full_until_s = until_s
    else:
        process.world.log.disk_full_until_s = until_s
    return call()


def _clock_jump(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    drawn, world = _random_of(fault), process.world
    jump_s = drawn.choice((0.5, 5.0, 30.0, 200.0))
    if drawn.random() < 0.5:
        # Only the clock of this process jumps.
        process.clock_skew_s += jump_s
    else:
        world.time.pass_to(world.time.now_s + jump_s)
    # A wall clock is corrected in either direction.
    world.log.wall_clock_offset_s += drawn.choice((-3_600.0, -1.0, 1.0, 3_600.0))
    return call()


def _connection_lost_before(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    process.disconnect()
    raise psycopg.OperationalError("connection lost")


def _connection_lost_after(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    call()
    process.disconnect()
    raise psycopg.OperationalError("connection lost")


def _offset_reset(process: Process, fault: Fault, call: Any, send: Any, timeout_s: float) -> Any:
    result = call()
    process.database.reset_offset(_random_of(fault))
    return result


FAULT_EFFECTS: Final[Mapping[str, FaultEffect]] = {
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
    "stale answer": _stale_answer,
    "retriable error": _retriable_error,
    "abortable error": _abortable_error,
    "fatal error": _fatal_error,
    "disk full": _disk_full,
    "clock jump": _clock_jump,
    "connection lost before": _connection_lost_before,
    "connection lost after": _connection_lost_after,
    "offset reset": _offset_reset,
}
