"""Many histories in several processes, counted over runs for as long as the code under test stays the same."""

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
COUNT_FILE: Final = ROOT / "build" / "simulate.json"
#: The count that `make simulate-report` has written, from which any machine can continue.
LEDGER: Final = ROOT / "docs" / "simulation.json"
#: A count is valid for one state of this code.
UNDER_TEST: Final = ("streams", "processors", "connectors")
#: Histories that a process runs before it returns their count.
SHARE: Final = 10
#: Findings that are kept with their sentences.
_FINDINGS_MAX: Final = 100
#: The count of earlier code is dropped if it has fewer histories.
EARLIER_HISTORIES_MIN: Final = 10_000
#: History seeds per campaign seed.
SEEDS: Final = 1_000_000_000


class Finding(BaseModel, frozen=True, extra="forbid"):
    """A failed history."""

    seed: int
    what: list[str]


class EarlierCount(BaseModel, frozen=True, extra="forbid"):
    """The count of an earlier state of the code."""

    tree: str
    commit: str
    last: datetime
    histories: int
    findings: int


class Count(BaseModel, extra="forbid"):
    """All histories so far of one state of the code. `faults` counts injected faults by kind and call."""

    tree: str
    commit: str
    begun: datetime
    last: datetime
    histories: int = 0
    #: Histories with too few injected faults or notices: they prove nothing, and don't count.
    skipped: int = 0
    findings: int = 0
    notices: int = 0
    injected: int = 0
    #: Histories with dead letters, and the dead letters that the operator retried.
    with_dead_letters: int = 0
    dead_letters_retried: int = 0
    cpu_s: float = 0
    faults: dict[str, dict[str, int]] = Field(default_factory=dict)
    #: The same by kind and step of the pipeline.
    steps: dict[str, dict[str, int]] = Field(default_factory=dict)
    failures: list[Finding] = Field(default_factory=list)
    #: By campaign seed, how many of its histories have been run.
    next: dict[int, int] = Field(default_factory=dict)
    #: Counts of earlier code that `make simulate-report` had written, the last one last.
    earlier: list[EarlierCount] = Field(default_factory=list)

    def add(self, other: Count) -> None:
        """Add the histories of another count."""
        for name in (
            "histories",
            "skipped",
            "findings",
            "notices",
            "injected",
            "cpu_s",
            "with_dead_letters",
            "dead_letters_retried",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for sums, addends in ((self.faults, other.faults), (self.steps, other.steps)):
            for kind, numbers in addends.items():
                for call_or_step, number in numbers.items():
                    _add(sums, kind, call_or_step, number)
        self.failures = [*self.failures, *other.failures][:_FINDINGS_MAX]
        self.last = datetime.now(UTC)

    @property
    def never_injected(self) -> list[tuple[str, str]]:
        """Pairs of a kind of fault and a call or step at which it was never injected, but may be."""
        possible = [(kind, call, self.faults) for kind, calls in KINDS.items() for call in calls]
        possible += [(kind, step, self.steps) for kind in KINDS for step in steps_of(kind)]
        return [
            (kind, call_or_step)
            for kind, call_or_step, numbers in possible
            if not numbers.get(kind, {}).get(call_or_step)
        ]


def code_digest() -> str:
    """Return a digest of all files under test."""
    digest = hashlib.sha256()
    for folder in UNDER_TEST:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def commit() -> str:
    """Return the current commit, followed by a plus if files under test differ from it."""
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "diff", "--quiet", "HEAD", "--", *UNDER_TEST], cwd=ROOT, check=False
    ).returncode
    return f"{head}+" if changed else head


def load_count() -> Count:
    """Return the larger count of this machine's and the written one; a new count if neither is of this code."""
    now = datetime.now(UTC)
    new = Count(tree=code_digest(), commit=commit(), begun=now, last=now)
    counts = [Count.model_validate_json(path.read_bytes()) for path in (COUNT_FILE, LEDGER) if path.exists()]
    of_this_code = [count for count in counts if count.tree == new.tree]
    if not of_this_code:
        if LEDGER.exists():
            new.earlier = _earlier_counts(counts[-1])
        return new
    largest = max(of_this_code, key=lambda count: count.histories)
    largest.commit = new.commit
    return largest


def _add(sums: dict[str, dict[str, int]], kind: str, call_or_step: str, number: int = 1) -> None:
    numbers = sums.setdefault(kind, {})
    numbers[call_or_step] = numbers.get(call_or_step, 0) + number


def _earlier_counts(count: Count) -> list[EarlierCount]:
    fields = count.model_dump(include=set(EarlierCount.model_fields))
    last = [EarlierCount(**fields)] if count.histories >= EARLIER_HISTORIES_MIN else []
    return [*count.earlier, *last]


def save(count: Count, path: Path | None = None) -> None:
    """Write the count atomically, by default into this machine's file."""
    path = path or COUNT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(count.model_dump_json(indent=1) + "\n", encoding="utf-8")
    draft.replace(path)


def campaign(
    seed: int,
    seconds: float,
    processes: int,
    report: Callable[[Count], None],
    histories_max: int | None = None,
) -> Count:
    """Run histories of a seed from where its last run ended, for that long or until SIGINT or SIGTERM.

    `report` is called with the count now and then. Histories that are running at the end are completed and counted.
    """
    count = load_count()
    end_s = time.monotonic() + seconds
    shares = _shares(count, seed, histories_max)
    with (
        stop_on_signals() as stop,
        ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=quiet) as pool,
    ):
        running = _submit(pool, _take(shares, processes + 1))
        while running:
            done, running = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            for future in done:
                _add_share(count, future, seed)
            if done:
                save(count)
                report(count)
            if time.monotonic() < end_s and not stop.is_set():
                running |= _submit(pool, _take(shares, len(done)))
            else:
                running = {future for future in running if not future.cancel()}
    return count


@contextmanager
def stop_on_signals() -> Iterator[Event]:
    """Return an event that SIGINT and SIGTERM set, instead of their usual effect. For the main thread."""
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _submit(pool: ProcessPoolExecutor, shares: list[tuple[int, int, int]]) -> set[Future[Count]]:
    # The pool starts its processes at the first submission. Ctrl-C reaches all processes of a terminal; with SIGINT
    # blocked here they inherit the block, and complete their histories.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return {pool.submit(_run_share, *share) for share in shares}
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def quiet() -> None:
    """Turn off the logs of workers."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _add_share(count: Count, share: Future[Count], seed: int) -> None:
    added = share.result()
    count.add(added)
    # A cancelled share leaves a gap in the seeds, but no seed is ever counted twice.
    count.next[seed] = max(count.next.get(seed, 0), *added.next.values())


def _shares(count: Count, seed: int, histories_max: int | None) -> Iterator[tuple[int, int, int]]:
    start = count.next.get(seed, 0)
    end = SEEDS if histories_max is None else start + histories_max
    for first in range(start, end, SHARE):
        yield seed, first, min(SHARE, end - first)


def _take(shares: Iterator[tuple[int, int, int]], number: int) -> list[tuple[int, int, int]]:
    return [share for share, _ in zip(shares, range(number), strict=False)]


def _run_share(seed: int, first: int, number: int) -> Count:
    """Run histories one after the other, and count them."""
    now = datetime.now(UTC)
    count = Count(tree="", commit="", begun=now, last=now, next={seed: first + number})
    started_s = time.process_time()
    # Cities and their expected outcomes stay in memory: the garbage collector need not scan them again and again.
    collect_rarely()
    for index in range(first, first + number):
        result = run(history_of(seed * SEEDS + index))
        for fault in result.injected:
            _add(count.faults, fault.kind, fault.call)
            _add(count.steps, fault.kind, fault.step)
        if result.findings:
            count.findings += 1
            count.failures.append(Finding(seed=result.seed, what=result.findings[:5]))
        if len(result.injected) < FAULTS_MIN or result.notices < NOTICES_MIN:
            count.skipped += 1
            continue
        count.histories += 1
        count.notices += result.notices
        count.injected += len(result.injected)
        count.dead_letters_retried += result.dead_letters_retried
        count.with_dead_letters += result.dead_letters_retried > 0
    count.cpu_s = time.process_time() - started_s
    return count
