"""What goes wrong, and where: drawn from a seed before a history begins, so that one fault can be left away."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: Calls of the clients by which a worker of a step meets the outside. A sink has a consumer, a store and a relay.
_READS: Final = ("subscribe", "consume", "consumed")
_ENDS: Final = ("commit_transaction", "abort_transaction")
_COORDINATOR: Final = ("init_transactions", "send_offsets_to_transaction", *_ENDS)
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
STORE_CALLS: Final = ("store.connect", "store.statement", "store.commit")
SINK_CALLS: Final = (*_READS, "follow", *STORE_CALLS, "relay.send")
CALLS: Final = (*STEP_CALLS, *STORE_CALLS, "relay.send")

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "intake": STEP_CALLS,
    "household": STEP_CALLS,
    "fan-out": STEP_CALLS,
    "conversion": STEP_CALLS,
    "sink": SINK_CALLS,
}

_ASKED: Final = (*_COORDINATOR, "produce", "committed", "relay.send")

#: Which fault may strike at which call.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    # The worker dies: before the call reaches anybody, or when it has taken effect.
    "crash before": CALLS,
    "crash after": CALLS,
    # The request never arrives, and the client waits in vain.
    "request lost": _ASKED,
    # It takes place, and the client never hears of it.
    "answer lost": (*_COORDINATOR, "produce", "relay.send"),
    # The client gives up, and then it takes place, if it still may.
    "request late": _COORDINATOR,
    # The transaction's end is decided, and the partitions hear of it one after the other, late.
    "markers late": _ENDS,
    # Everybody has other partitions afterwards.
    "rebalance": (
        *_READS,
        "committed",
        "begin_transaction",
        "produce",
        *_COORDINATOR,
        *_RESTORING,
        *STORE_CALLS,
    ),
    # The group takes the worker for gone while it works on.
    "partitions lost": ("consume", "begin_transaction", "produce", *_COORDINATOR, *_RESTORING, *STORE_CALLS),
    # It stands still for longer than every time-out, and then goes on; now and then another has its slot by then.
    "zombie": CALLS,
    # Records from before a rebalance in front of those from after it, in one read.
    "duplicates": ("consume",),
    # Who answers is deposed and doesn't know it: it tells what was so before.
    "answer of old": ("committed", "read"),
    "refused for now": (*_COORDINATOR, "store.connect", "relay.send"),
    "refused, abort": ("send_offsets_to_transaction", "commit_transaction"),
    "refused for good": (*_COORDINATOR, "produce", "relay.send"),
    "disk full": ("produce", *_COORDINATOR, *STORE_CALLS, "relay.send"),
    "clock jumps": CALLS,
    "connection lost before": STORE_CALLS,
    "connection lost after": ("store.statement", "store.commit"),
    # Somebody sets a store's offset back: records are handed over again that were applied long ago.
    "offset set back": ("store.commit",),
}


def steps_of(kind: str) -> list[str]:
    """The steps whose workers it may strike."""
    return [step for step, calls in STEPS.items() if set(calls) & set(KINDS[kind])]


@dataclass(frozen=True)
class Fault:
    """Strikes the `nth` call of that name by any worker of that step; `draw` decides its details."""

    kind: str
    step: str
    call: str
    nth: int
    draw: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.step} {self.call} #{self.nth}"


def plan(seed: int, number: int) -> list[Fault]:
    """So many faults."""
    chance = random.Random(f"faults {seed}")  # noqa: S311 - repeatable on purpose
    faults: list[Fault] = []
    while len(faults) < number:
        kind = chance.choice(list(KINDS))
        call = chance.choice(KINDS[kind])
        step = chance.choice([name for name, calls in STEPS.items() if call in calls])
        if call == "abort_transaction":
            # Nobody aborts without a reason.
            cause = chance.choice(KINDS["refused, abort"])
            faults.append(Fault("refused, abort", step, cause, chance.randrange(3), chance.randrange(2**32)))
        faults.append(Fault(kind, step, call, _nth(chance, call), chance.randrange(2**32)))
    return faults


def _nth(chance: random.Random, call: str) -> int:
    if call in ("abort_transaction", "subscribe"):
        return 0 if call == "abort_transaction" else chance.randrange(4)
    if call in ("store.statement", "store.commit", "consume", "consumed", "produce", "follow"):
        return chance.randrange(40)
    return chance.randrange(8)


class Faults:
    """The faults of one history, and which of them struck."""

    def __init__(self, planned: Iterable[Fault]) -> None:
        self._waiting: dict[tuple[str, str], list[Fault]] = {}
        self._seen: Counter[tuple[str, str]] = Counter()
        self.struck: list[Fault] = []
        self.over = False
        for fault in planned:
            self._waiting.setdefault((fault.step, fault.call), []).append(fault)

    def due(self, step: str, call: str) -> Fault | None:
        """The fault that strikes this call."""
        place = (step, call)
        waiting = self._waiting.get(place)
        if not waiting or self.over:
            return None
        number = self._seen[place]
        self._seen[place] = number + 1
        for fault in waiting:
            if fault.nth == number:
                waiting.remove(fault)
                self.struck.append(fault)
                return fault
        return None

    def behind(self, fault: Fault, kind: str, call: str) -> None:
        """Another fault in the wake of one: at the next call of that name by a worker of its step."""
        place = (fault.step, call)
        self._waiting.setdefault(place, []).append(
            Fault(kind, fault.step, call, self._seen[place], fault.draw)
        )

    @property
    def left(self) -> int:
        """How many have not struck."""
        return sum(map(len, self._waiting.values()))
