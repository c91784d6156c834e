"""`python -m tests.chaos --minutes 10 [--seed N]`: one run, added to build/chaos.json and build/chaos.html."""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.chaos import figures
from tests.chaos.cluster import clear
from tests.chaos.faults import FAULTS
from tests.chaos.page import page
from tests.chaos.run import WORK, Plan, run

FIGURES: Final = "chaos.json"
PAGE: Final = "chaos.html"


def main() -> int:
    """0 where nothing was found, 1 where anything was, 130 where it was interrupted.

    The run is a process of its own: whatever ends it, what it left running is ended too.
    """
    told = _arguments().parse_args()
    if told.alone:
        return one_run(told)
    with subprocess.Popen([sys.executable, "-m", "tests.chaos", "--alone", *sys.argv[1:]]) as child:
        for number in (signal.SIGTERM, signal.SIGINT):
            # A terminal tells both; who tells only us means the run.
            signal.signal(number, lambda number, _: child.send_signal(number))
        code = child.wait()
    clear(told.folder / "chaos" / WORK)
    return code if code >= 0 else 128 - code


def one_run(told: argparse.Namespace) -> int:
    """In this process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = told.seed if told.seed is not None else random.SystemRandom().randrange(10**6)
    before = figures.known(told.folder / FIGURES)
    plan = Plan(
        folder=told.folder / "chaos",
        minutes=told.minutes,
        seed=seed,
        kinds=told.kinds or list(FAULTS),
        rate=told.rate,
        before=figures.struck(before, figures.digest()),
        enough=told.each,
    )
    try:
        result = run(plan, _say)
    except KeyboardInterrupt:
        _say("interrupted; everything is stopped")
        return 130
    for each in result.anomalies:
        _say(f"ANOMALY {each.kind}: {each.count}, for example: {'; '.join(each.examples)}")
    after = figures.added(before, figures.of_run(plan, result))
    figures.save(told.folder / FIGURES, after)
    (told.folder / PAGE).write_text(page(after, told.folder / "chaos"), "utf-8")
    anomalies = sum(each.count for each in result.anomalies)
    _say(
        f"{len(result.outcomes)} faults, {anomalies} anomalies, "
        f"{result.counts['batches_committed']:,} batches committed; seed {seed}"
    )
    _say(f"{told.folder / FIGURES}, {told.folder / PAGE}, {result.history}")
    return 1 if result.anomalies else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="which faults strike what, and when; by default any")
    parser.add_argument("--rate", type=float, default=15.0, help="hand-overs a second")
    parser.add_argument(
        "--each", type=int, help="ends earlier, when each kind struck so often in all runs together"
    )
    parser.add_argument("--kinds", nargs="*", choices=list(FAULTS), help="kinds of faults; all by default")
    # Servers and workers have working folders of their own: a relative one would mean another place to each.
    parser.add_argument("--folder", type=lambda given: Path(given).resolve(), default=Path("build").resolve())
    parser.add_argument("--alone", action="store_true", help="in this process, and nobody clears up after it")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - whoever started it looks on


if __name__ == "__main__":
    sys.exit(main())
