"""Faults, one after the other: struck, held, mended, recovered from; and how long each held the mesh up."""

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
from tests.chaos.stalls import Span, Track, slowest
from tests.chaos.watch import Watch

POLL_S: Final = 0.1
WHOLE_EVERY_S: Final = 0.25
#: How long a mesh may take until another has taken over, and until all is as before.
ON_TIMEOUT_S: Final = 60.0
RECOVERED_TIMEOUT_S: Final = 180.0
BREATH_S: Final = (0.5, 1.5)


@dataclass(frozen=True)
class FaultOutcome:
    """One fault. Times are seconds since the run's beginning; `stood_still_s` is None where nothing had to be done.

    `held_up_s` is the longest time that an open transaction held up readers of committed records meanwhile.
    """

    kind: str
    target: str
    detail: str
    struck_s: float
    mended_s: float
    recovered_s: float
    recovered: bool
    stood_still_s: float | None
    where: str
    held_up_s: float


@dataclass
class Campaign:
    """Strikes until told to stop, or the time is over."""

    place: ChaosCluster
    watch: Watch
    history: History
    say: Callable[[str], None]
    before: Mapping[str, int] = field(default_factory=dict)
    outcomes: list[FaultOutcome] = field(default_factory=list)
    #: By kind, how often nothing was done, as it could not be found out to whom.
    missed: Counter[str] = field(default_factory=Counter)
    _wait: threading.Event = field(default_factory=threading.Event)

    def run(self, kinds: Sequence[str], seed: int, until_s: float, enough: int | None = None) -> None:
        """Faults of these kinds until that moment, or until each struck `enough` times, earlier runs included.

        Those come first that struck least often. The last one is recovered from, too.
        """
        chance = random.Random(seed)  # noqa: S311 - what strikes is no secret
        while time.monotonic() < until_s:
            kind = next_kind(kinds, chance, self._struck(), enough)
            if kind is None:
                return
            self._one(kind, chance)
            if self.outcomes and not self.outcomes[-1].recovered:
                return
            self._wait.wait(chance.uniform(*BREATH_S))

    def _struck(self) -> Counter[str]:
        """What was missed comes later again, when the others had their turn."""
        return Counter(self.before) + Counter(each.kind for each in self.outcomes) + self.missed

    def _one(self, kind: str, chance: random.Random) -> None:
        if kind.startswith("broker-pause"):
            self.watch.doubtful.set()
        try:
            self._strike(kind, chance)
        finally:
            # All copies are in sync by now: every broker knows who leads.
            self.watch.doubtful.clear()

    def _strike(self, kind: str, chance: random.Random) -> None:
        try:
            struck = {**FAULTS, **SEEDED}[kind](self.place, chance)
        except (KafkaException, OperatorError, RuntimeError, psutil.Error) as error:
            # Whom it was to strike could not be found out; nothing was done.
            self.missed[kind] += 1
            self.history.note("missed", kind=kind, reason=type(error).__name__)
            return
        self.history.note("struck", kind=kind, target=struck.target, detail=struck.detail)
        self._hold(struck)
        struck.mend()
        mended_s = time.monotonic()
        self.history.note("mended", kind=kind)
        recovered = self._until(lambda: not self._lacks(mended_s), RECOVERED_TIMEOUT_S, WHOLE_EVERY_S)
        outcome = self._outcome(kind, struck, mended_s, recovered)
        if not recovered:
            self.history.note("lacking", what=self._lacks(mended_s))
        self.outcomes.append(outcome)
        self.history.note("recovered" if recovered else "not-recovered", **asdict(outcome))
        self.say(_line(outcome))

    def _hold(self, struck: InjectedFault) -> None:
        self._wait.wait(max(0.0, struck.at_s + struck.hold_s - time.monotonic()))
        if struck.until_on:
            self._until(lambda: self._went_on(struck), ON_TIMEOUT_S, POLL_S)

    def _until(self, condition: Callable[[], bool], timeout_s: float, every_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._wait.wait(every_s)
        return True

    def _went_on(self, struck: InjectedFault) -> bool:
        found = slowest(self._tracks(struck.partitions), Span(struck.at_s, time.monotonic()))
        return found is None or found[0] != float("inf")

    def _lacks(self, since_s: float) -> str:
        """What isn't done of all that was there when it was mended, or doesn't run as before; nothing where all is."""
        left = [place for place, track in list(self.watch.tracks.items()) if not track.done(since_s)]
        if left:
            return f"{len(left)} partitions, of {left[0][0]}"
        try:
            return self.place.lacks()
        except (KafkaException, OperatorError) as error:
            return f"an answer ({error})"

    def _outcome(self, kind: str, struck: InjectedFault, mended_s: float, recovered: bool) -> FaultOutcome:
        now_s = time.monotonic()
        span = Span(struck.at_s, mended_s) if struck.alone else Span(mended_s, mended_s, struck=False)
        found = slowest(self._tracks(struck.partitions), span)
        held = self.watch.held.longest(struck.at_s, now_s)
        return FaultOutcome(
            kind=kind,
            target=struck.target,
            detail=struck.detail,
            struck_s=self._moment(struck.at_s),
            mended_s=self._moment(mended_s),
            recovered_s=self._moment(now_s),
            recovered=recovered,
            stood_still_s=None if found is None else round(found[0], 3),
            where="" if found is None else "{}/{}".format(*found[1]),
            held_up_s=round(held.ended_s - held.begun_s, 3) if held else 0.0,
        )

    def _moment(self, moment_s: float) -> float:
        return round(self.history.since(moment_s), 3)

    def _tracks(self, chosen: Sequence[Partition]) -> dict[Partition, Track]:
        tracks = dict(self.watch.tracks)
        return {place: tracks[place] for place in chosen or tracks if place in tracks}


def _line(outcome: FaultOutcome) -> str:
    still = (
        "nothing to do" if outcome.stood_still_s is None else f"stood still {outcome.stood_still_s:5.1f} s"
    )
    took_s = outcome.recovered_s - outcome.struck_s
    verdict = f"whole after {took_s:5.1f} s" if outcome.recovered else f"NOT WHOLE after {took_s:.0f} s"
    detail = f" ({outcome.detail})" if outcome.detail else ""
    minutes, seconds = divmod(int(outcome.struck_s), 60)
    return f"{minutes:3d}:{seconds:02d}  {outcome.kind:24} {still}, {verdict}  {outcome.target}{detail}"
