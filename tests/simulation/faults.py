"""Which faults are injected where. They are drawn from a seed before a history begins, so that each can be left out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: Client calls of a worker of a step. A sink has a consumer, a store and a relay.
_READS: Final = ("subscribe", "consume", "consumed")
_TRANSACTION_ENDS: Final = ("commit_transaction", "abort_transaction")
_COORDINATOR: Final = ("init_transactions", "send_offsets_to_transaction", *_TRANSACTION_ENDS)
_RESTORING: Final = ("read",)
STEP_CALLS: Final = (
    *_READS,
    "follow",
    *_RESTORING,
    "committed",
    "begin_transaction",
    "produce",
    *_COORDINATOR,
)
#: Calls of a worker that writes a record to every partition of a topic: intake, of a day that begins.
BROADCAST_CALLS: Final = ("partition_count",)
#: Calls of a worker that reads a whole topic (a global table, withdrawals), besides "follow".
TABLE_CALLS: Final = ("end_offsets",)
STORE_CALLS: Final = ("store.connect", "store.statement", "store.commit")
SINK_CALLS: Final = (*_READS, "follow", *TABLE_CALLS, *STORE_CALLS, "relay.send")
CALLS: Final = (*STEP_CALLS, *BROADCAST_CALLS, *TABLE_CALLS, *STORE_CALLS, "relay.send")

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "intake": (*STEP_CALLS, *BROADCAST_CALLS),
    "household": STEP_CALLS,
    "fan-out": STEP_CALLS,
    "conversion": (*STEP_CALLS, *TABLE_CALLS),
    "sink": SINK_CALLS,
}

_REQUESTS: Final = (*_COORDINATOR, "produce", "committed", "relay.send")

#: The calls at which each kind of fault may be injected. Seeds draw from both orders.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    # The worker dies before the call has any effect, or when it has taken effect.
    "crash before": CALLS,
    "crash after": CALLS,
    # The request never arrives, and the client times out.
    "request lost": _REQUESTS,
    # The request takes effect, and its answer never arrives.
    "answer lost": (*_COORDINATOR, "produce", "relay.send"),
    # The client times out; then the request arrives, and takes effect if the broker still accepts it.
    "request late": _COORDINATOR,
    # The transaction's end is decided; its markers reach the partitions one after the other, late.
    "markers late": _TRANSACTION_ENDS,
    # Every member of the group receives other partitions.
    "rebalance": (
        *_READS,
        "committed",
        "begin_transaction",
        "produce",
        *_COORDINATOR,
        *_RESTORING,
        *STORE_CALLS,
    ),
    # The group expels the worker while it continues to work.
    "partitions lost": ("consume", "begin_transaction", "produce", *_COORDINATOR, *_RESTORING, *STORE_CALLS),
    # The worker is paused for longer than any timeout and then continues; sometimes its slot has a new worker by then.
    "zombie": CALLS,
    # One read returns records from before a rebalance ahead of those from after it.
    "duplicates": ("consume",),
    # The answering broker was deposed and doesn't know it: it returns an earlier state.
    "stale answer": ("committed", "read", *TABLE_CALLS),
    "retriable error": (*_COORDINATOR, "store.connect", "relay.send"),
    "abortable error": ("send_offsets_to_transaction", "commit_transaction"),
    "fatal error": (*_COORDINATOR, "produce", "relay.send"),
    "disk full": ("produce", *_COORDINATOR, *STORE_CALLS, "relay.send"),
    "clock jump": CALLS,
    "connection lost before": STORE_CALLS,
    "connection lost after": ("store.statement", "store.commit"),
    # Someone resets an offset in a store: records that were applied long ago are read again.
    "offset reset": ("store.commit",),
}


def steps_of(kind: str) -> list[str]:
    """Return the steps at whose workers this kind of fault may be injected."""
    return [step for step, calls in STEPS.items() if set(calls) & set(KINDS[kind])]


@dataclass(frozen=True)
class Fault:
    """A fault at the `nth` call of that name by any worker of that step; `detail_seed` decides its details."""

    kind: str
    step: str
    call: str
    nth: int
    detail_seed: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.step} {self.call} #{self.nth}"


def draw_faults(seed: int, number: int) -> list[Fault]:
    """Draw at least that many faults from a seed."""
    chance = random.Random(f"faults {seed}")  # noqa: S311 - repeatable on purpose
    faults: list[Fault] = []
    while len(faults) < number:
        kind = chance.choice(list(KINDS))
        call = chance.choice(KINDS[kind])
        step = chance.choice([name for name, calls in STEPS.items() if call in calls])
        if call == "abort_transaction":
            # A worker aborts only if something failed before.
            cause = chance.choice(KINDS["abortable error"])
            faults.append(Fault("abortable error", step, cause, chance.randrange(3), chance.randrange(2**32)))
        faults.append(Fault(kind, step, call, _draw_nth(chance, call), chance.randrange(2**32)))
    return faults


def _draw_nth(chance: random.Random, call: str) -> int:
    if call == "abort_transaction":
        return 0
    if call in ("subscribe", *BROADCAST_CALLS):
        return chance.randrange(4)
    if call in ("store.statement", "store.commit", "consume", "consumed", "produce", "follow"):
        return chance.randrange(40)
    return chance.randrange(8)


class Faults:
    """The faults of one history: those still to be injected, and those that were."""

    def __init__(self, planned: Iterable[Fault]) -> None:
        self._planned: dict[tuple[str, str], list[Fault]] = {}
        self._calls: Counter[tuple[str, str]] = Counter()
        self.injected: list[Fault] = []
        #: Set when the history is to come to rest: no more faults.
        self.disabled = False
        for fault in planned:
            self._planned.setdefault((fault.step, fault.call), []).append(fault)

    def due(self, step: str, call: str) -> Fault | None:
        """Count this call, and return the fault to inject at it."""
        planned = self._planned.get((step, call))
        if not planned or self.disabled:
            return None
        number = self._calls[step, call]
        self._calls[step, call] = number + 1
        for fault in planned:
            if fault.nth == number:
                planned.remove(fault)
                self.injected.append(fault)
                return fault
        return None

    def add_follow_up(self, fault: Fault, kind: str, call: str) -> None:
        """Add a fault that follows from another: at the next call of that name by a worker of the same step."""
        self._planned.setdefault((fault.step, call), []).append(
            Fault(kind, fault.step, call, self._calls[fault.step, call], fault.detail_seed)
        )
