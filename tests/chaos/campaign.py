"""Injects faults one after the other: each is held, healed, and recovered from; and measures the stall it causes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import psutil
from confluent_kafka import KafkaException

from infra.errors import OperatorError
from streams.clients import Partition
from tests.chaos.cluster import ChaosCluster
from tests.chaos.faults import FAULTS, SEEDED, InjectedFault, next_kind
from tests.chaos.history import History
from tests.chaos.stalls import StallWindow, Track, longest_stall
from tests.chaos.watch import Watch

TAKEOVER_POLL_S: Final = 0.1
RECOVERY_POLL_S: Final = 0.25
TAKEOVER_TIMEOUT_S: Final = 60.0
RECOVERY_TIMEOUT_S: Final = 180.0
PAUSE_BETWEEN_FAULTS_S: Final = (0.5, 1.5)


@dataclass(frozen=True)
class FaultOutcome:
    """One fault and its effect. `injected_s`, `healed_s` and `recovered_s` are seconds since the start of the run.

    `stall_s` is the stall of `slowest_partition` in seconds, None if no partition had records to process.
    `readers_blocked_s` is the longest time that an open transaction blocked readers of committed records meanwhile.
    """

    kind: str
    target: str
    detail: str
    injected_s: float
    healed_s: float
    recovered_s: float
    recovered: bool
    stall_s: float | None
    slowest_partition: str
    readers_blocked_s: float


@dataclass
class Campaign:
    """Injects faults until the time is over, or until the mesh doesn't recover from one."""

    cluster: ChaosCluster
    watch: Watch
    history: History
    print_line: Callable[[str], None]
    #: By kind, how often it was injected in earlier runs.
    injected_before: Mapping[str, int] = field(default_factory=dict)
    outcomes: list[FaultOutcome] = field(default_factory=list)
    #: By kind, how often nothing was injected because the target could not be determined.
    skipped: Counter[str] = field(default_factory=Counter)
    _wait: threading.Event = field(default_factory=threading.Event)

    def run(self, kinds: Sequence[str], seed: int, until_s: float, enough: int | None = None) -> None:
        """Inject faults of these kinds until a moment of the monotonic clock, and recover from the last one.

        Kinds that were injected least often come first. With `enough` the campaign ends early once each kind was
        injected that often, earlier runs included.
        """
        rng = random.Random(seed)  # noqa: S311 - not used for security
        while time.monotonic() < until_s:
            kind = next_kind(kinds, rng, self._injected(), enough)
            if kind is None:
                return
            self._run_one(kind, rng)
            if self.outcomes and not self.outcomes[-1].recovered:
                return
            self._wait.wait(rng.uniform(*PAUSE_BETWEEN_FAULTS_S))

    def _injected(self) -> Counter[str]:
        """Return how often each kind was injected; a skipped one counts too, so that the other kinds come first."""
        return (
            Counter(self.injected_before) + Counter(outcome.kind for outcome in self.outcomes) + self.skipped
        )

    def _run_one(self, kind: str, rng: random.Random) -> None:
        if kind.startswith("broker-pause"):
            self.watch.stale_broker.set()
        try:
            self._inject_and_recover(kind, rng)
        finally:
            # All replicas are in sync by now, so every broker knows the leaders.
            self.watch.stale_broker.clear()

    def _inject_and_recover(self, kind: str, rng: random.Random) -> None:
        try:
            fault = {**FAULTS, **SEEDED}[kind](self.cluster, rng)
        except (KafkaException, OperatorError, RuntimeError, psutil.Error) as error:
            # The target could not be determined, so nothing was injected.
            self.skipped[kind] += 1
            self.history.write("skipped", kind=kind, reason=type(error).__name__)
            return
        self.history.write("injected", kind=kind, target=fault.target, detail=fault.detail)
        self._hold(fault)
        fault.heal()
        healed_s = time.monotonic()
        self.history.write("healed", kind=kind)
        recovered = self._wait_until(
            lambda: not self._unrecovered(healed_s), RECOVERY_TIMEOUT_S, RECOVERY_POLL_S
        )
        outcome = self._outcome(kind, fault, healed_s, recovered)
        if not recovered:
            self.history.write("unrecovered", what=self._unrecovered(healed_s))
        self.outcomes.append(outcome)
        self.history.write("recovered" if recovered else "not-recovered", **asdict(outcome))
        self.print_line(_line(outcome))

    def _hold(self, fault: InjectedFault) -> None:
        self._wait.wait(max(0.0, fault.injected_s + fault.hold_s - time.monotonic()))
        if fault.until_continued:
            self._wait_until(lambda: self._has_continued(fault), TAKEOVER_TIMEOUT_S, TAKEOVER_POLL_S)

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float, interval_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._wait.wait(interval_s)
        return True

    def _has_continued(self, fault: InjectedFault) -> bool:
        window = StallWindow(fault.injected_s, time.monotonic())
        stall = longest_stall(self._tracks(fault.partitions), window)
        return stall is None or stall[0] != float("inf")

    def _unrecovered(self, healed_s: float) -> str:
        """Return what is missing for a recovery; empty if the mesh has recovered.

        It has recovered if every record that existed at `healed_s` is processed and all processes run as before.
        """
        unprocessed = [
            partition
            for partition, track in list(self.watch.tracks.items())
            if not track.has_processed(healed_s)
        ]
        if unprocessed:
            return f"{len(unprocessed)} partitions have unprocessed records, one is of {unprocessed[0][0]}"
        try:
            return self.cluster.missing()
        except (KafkaException, OperatorError) as error:
            return f"the state of the mesh is unknown ({error})"

    def _outcome(self, kind: str, fault: InjectedFault, healed_s: float, recovered: bool) -> FaultOutcome:
        now_s = time.monotonic()
        window = (
            StallWindow(fault.injected_s, healed_s)
            if fault.stalls_from_injection
            else StallWindow(healed_s, healed_s, commit_in_flight=False)
        )
        stall = longest_stall(self._tracks(fault.partitions), window)
        blocked = self.watch.open_transactions.longest(fault.injected_s, now_s)
        return FaultOutcome(
            kind=kind,
            target=fault.target,
            detail=fault.detail,
            injected_s=self._run_seconds(fault.injected_s),
            healed_s=self._run_seconds(healed_s),
            recovered_s=self._run_seconds(now_s),
            recovered=recovered,
            stall_s=None if stall is None else round(stall[0], 3),
            slowest_partition="" if stall is None else "{}/{}".format(*stall[1]),
            readers_blocked_s=round(blocked.ended_s - blocked.begun_s, 3) if blocked else 0.0,
        )

    def _run_seconds(self, monotonic_s: float) -> float:
        return round(self.history.run_seconds(monotonic_s), 3)

    def _tracks(self, partitions: Sequence[Partition]) -> dict[Partition, Track]:
        """Return the tracks of these partitions, or of all if there are none."""
        tracks = dict(self.watch.tracks)
        return {partition: tracks[partition] for partition in partitions or tracks if partition in tracks}


def _line(outcome: FaultOutcome) -> str:
    stall = "no records to process" if outcome.stall_s is None else f"stalled {outcome.stall_s:5.1f} s"
    duration_s = outcome.recovered_s - outcome.injected_s
    recovery = (
        f"recovered after {duration_s:5.1f} s"
        if outcome.recovered
        else f"NOT RECOVERED after {duration_s:.0f} s"
    )
    detail = f" ({outcome.detail})" if outcome.detail else ""
    minutes, seconds = divmod(int(outcome.injected_s), 60)
    return f"{minutes:3d}:{seconds:02d}  {outcome.kind:24} {stall}, {recovery}  {outcome.target}{detail}"
