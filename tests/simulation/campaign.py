"""Many histories, by several processes, counted over runs for as long as the code under test stays the same."""

from __future__ import annotations

import hashlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Final

import structlog
from pydantic import BaseModel, Field

from infra.run.worker import collect_rarely
from tests.simulation.cities import NOTICES_MIN
from tests.simulation.faults import KINDS, steps_of
from tests.simulation.history import FAULTS_MIN, history_of, run

ROOT: Final = Path(__file__).parents[2]
KEPT: Final = ROOT / "build" / "simulate.json"
#: What `make simulate-report` has written of it for whoever counts on, on whatever machine.
LEDGER: Final = ROOT / "docs" / "simulation.json"
#: What a count stands for.
UNDER_TEST: Final = ("streams", "processors", "connectors")
#: Histories that a process runs before it tells of them.
_SHARE: Final = 10
#: Findings that are kept with their sentences.
_FINDINGS_MAX: Final = 100
#: A tree of fewer histories is forgotten when there is another.
EARLIER_MIN: Final = 10_000
#: Seeds of one campaign lie side by side.
SEEDS: Final = 1_000_000_000


class Finding(BaseModel, frozen=True, extra="forbid"):
    """A history that failed."""

    seed: int
    what: list[str]


class Earlier(BaseModel, frozen=True, extra="forbid"):
    """What a tree before this one came to."""

    tree: str
    commit: str
    last: datetime
    histories: int
    findings: int


class Count(BaseModel, extra="forbid"):
    """All histories so far, of one tree of code. `faults` by kind and call: how often each has struck."""

    tree: str
    commit: str
    begun: datetime
    last: datetime
    histories: int = 0
    #: Run, but too few faults struck: they prove nothing, and don't count.
    passed_over: int = 0
    findings: int = 0
    notices: int = 0
    struck: int = 0
    #: Histories in which something was set aside, and the letters that an officer had tried again.
    set_aside: int = 0
    letters: int = 0
    cpu_s: float = 0
    faults: dict[str, dict[str, int]] = Field(default_factory=dict)
    #: The same by kind and step of the pipeline; not counted in the first histories of the first tree that has it.
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)
    kept: list[Finding] = Field(default_factory=list)
    #: By seed of a campaign, how many of its histories have been run.
    next: dict[int, int] = Field(default_factory=dict)
    #: Trees before this one, as they were written down, the last one last.
    before: list[Earlier] = Field(default_factory=list)

    def add(self, other: Count) -> None:
        """Another's histories too."""
        for name in (
            "histories",
            "passed_over",
            "findings",
            "notices",
            "struck",
            "cpu_s",
            "set_aside",
            "letters",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for sums, more in ((self.faults, other.faults), (self.steps, other.steps)):
            for kind, places in more.items():
                for place, number in places.items():
                    _add(sums, kind, place, number)
        self.kept = [*self.kept, *other.kept][:_FINDINGS_MAX]
        self.last = datetime.now(UTC)

    @property
    def empty(self) -> list[tuple[str, str]]:
        """Faults that have never struck a call, or a step, that they may strike."""
        places = [(kind, call, self.faults) for kind, calls in KINDS.items() for call in calls]
        places += [(kind, step, self.steps) for kind in KINDS for step in steps_of(kind)]
        return [(kind, place) for kind, place, struck in places if not struck.get(kind, {}).get(place)]


def tree() -> str:
    """A digest of all files under test."""
    digest = hashlib.sha256()
    for folder in UNDER_TEST:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def commit() -> str:
    """The commit at hand; with a plus where files under test differ from it."""
    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "diff", "--quiet", "HEAD", "--", *UNDER_TEST], cwd=ROOT, check=False
    ).returncode
    return f"{found}+" if changed else found


def counted() -> Count:
    """The count so far, of this machine or as far as it was written down; a new one where the code is another."""
    now = datetime.now(UTC)
    new = Count(tree=tree(), commit=commit(), begun=now, last=now)
    found = [Count.model_validate_json(place.read_bytes()) for place in (KEPT, LEDGER) if place.exists()]
    same = [count for count in found if count.tree == new.tree]
    if not same:
        if LEDGER.exists():
            new.before = _with_itself(found[-1])
        return new
    before = max(same, key=lambda count: count.histories)
    before.commit = new.commit
    return before


def _add(sums: dict[str, dict[str, int]], kind: str, place: str, number: int = 1) -> None:
    of_kind = sums.setdefault(kind, {})
    of_kind[place] = of_kind.get(place, 0) + number


def _with_itself(count: Count) -> list[Earlier]:
    told = count.model_dump(include=set(Earlier.model_fields))
    return [*count.before, *([Earlier(**told)] if count.histories >= EARLIER_MIN else [])]


def keep(count: Count, place: Path | None = None) -> None:
    """Writes the count, whole or not at all."""
    place = place or KEPT
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(".draft")
    draft.write_text(count.model_dump_json(indent=1) + "\n", encoding="utf-8")
    draft.replace(place)


def campaign(
    seed: int, seconds: float, processes: int, told: Callable[[Count], None], histories_max: int | None = None
) -> Count:
    """Histories of a seed, from where the last run of it ended, for so long, or until SIGINT or SIGTERM.

    `told` now and then. What is under way when it ends is run to its end, and counted.
    """
    count = counted()
    end_s = time.monotonic() + seconds
    shares = _shares(count, seed, histories_max)
    with (
        told_to_stop() as stop,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=quiet) as pool,
    ):
        running = _begun(pool, _first(shares, processes + 1))
        while running:
            done, running = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for each in done:
                _taken(count, each, seed)
            if done:
                keep(count)
                told(count)
            if time.monotonic() < end_s and not stop.is_set():
                running |= _begun(pool, _first(shares, len(done)))
            else:
                running = {each for each in running if not each.cancel()}
    return count


@contextmanager
def told_to_stop() -> Iterator[Event]:
    """Set by SIGINT or SIGTERM, instead of what these do otherwise; for the main thread."""
    stop = Event()

    def told(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _begun(pool: ProcessPoolExecutor, shares: list[tuple[int, int, int]]) -> set[Future[Count]]:
    """A pool makes its processes when it is given work. Ctrl-C reaches all of a terminal's: they are not to hear it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return {pool.submit(_share, *each) for each in shares}
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def quiet() -> None:
    """No log of what workers do."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _taken(count: Count, share: Future[Count], seed: int) -> None:
    found = share.result()
    count.add(found)
    # A share that is left unfinished leaves a gap in the seeds, and never a seed counted twice.
    count.next[seed] = max(count.next.get(seed, 0), *found.next.values())


def _shares(count: Count, seed: int, histories_max: int | None) -> Iterator[tuple[int, int, int]]:
    start = count.next.get(seed, 0)
    end = SEEDS if histories_max is None else start + histories_max
    for first in range(start, end, _SHARE):
        yield seed, first, min(_SHARE, end - first)


def _first(shares: Iterator[tuple[int, int, int]], number: int) -> list[tuple[int, int, int]]:
    return [each for each, _ in zip(shares, range(number), strict=False)]


def _share(seed: int, first: int, number: int) -> Count:
    """Some histories, one after the other."""
    now = datetime.now(UTC)
    count = Count(tree="", commit="", begun=now, last=now, next={seed: first + number})
    begun_s = time.process_time()
    # Cities and what comes of them stay: the collector need not look through them again and again.
    collect_rarely()
    for place in range(first, first + number):
        told = run(history_of(seed * SEEDS + place))
        for fault in told.struck:
            _add(count.faults, fault.kind, fault.call)
            _add(count.steps, fault.kind, fault.step)
        if told.findings:
            count.findings += 1
            count.kept.append(Finding(seed=told.seed, what=told.findings[:5]))
        if len(told.struck) < FAULTS_MIN or told.notices < NOTICES_MIN:
            count.passed_over += 1
            continue
        count.histories += 1
        count.notices += told.notices
        count.struck += len(told.struck)
        count.letters += told.letters
        count.set_aside += told.letters > 0
    count.cpu_s = time.process_time() - begun_s
    return count
