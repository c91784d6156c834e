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
from tests.chaos.cluster import clean_up
from tests.chaos.faults import FAULTS
from tests.chaos.page import page
from tests.chaos.run import WORK, Plan, run

FIGURES: Final = "chaos.json"
PAGE: Final = "chaos.html"
INTERRUPTED: Final = 130


def main() -> int:
    """Run in a child process, and clean up however it ends.

    Return the exit code: 0 without anomalies, 1 with any, 130 if the run was interrupted.
    """
    arguments = _arguments().parse_args()
    if arguments.in_process:
        return run_in_process(arguments)
    with subprocess.Popen([sys.executable, "-m", "tests.chaos", "--in-process", *sys.argv[1:]]) as child:
        for number in (signal.SIGTERM, signal.SIGINT):
            # A terminal signals both processes, but `kill` only this one.
            signal.signal(number, lambda number, _: child.send_signal(number))
        code = child.wait()
    clean_up(arguments.folder / "chaos" / WORK)
    return code if code >= 0 else 128 - code


def run_in_process(arguments: argparse.Namespace) -> int:
    """Run in this process, and return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    before = figures.load_best(arguments.folder / FIGURES)
    plan = Plan(
        folder=arguments.folder / "chaos",
        minutes=arguments.minutes,
        seed=seed,
        kinds=arguments.kinds or list(FAULTS),
        rate=arguments.rate,
        injected_before=figures.injected_counts(before, figures.code_digest()),
        enough=arguments.each,
    )
    try:
        result = run(plan, _print_line)
    except KeyboardInterrupt:
        _print_line("interrupted; everything is stopped")
        return INTERRUPTED
    for anomaly in result.anomalies:
        _print_line(f"ANOMALY {anomaly.kind}: {anomaly.count}, for example: {'; '.join(anomaly.examples)}")
    after = figures.add_run(before, figures.run_figures(plan, result))
    figures.save(arguments.folder / FIGURES, after)
    (arguments.folder / PAGE).write_text(page(after, arguments.folder / "chaos"), "utf-8")
    anomalies = sum(anomaly.count for anomaly in result.anomalies)
    _print_line(
        f"{len(result.outcomes)} faults, {anomalies} anomalies, "
        f"{result.counts['batches_committed']:,} batches committed; seed {seed}"
    )
    _print_line(f"{arguments.folder / FIGURES}, {arguments.folder / PAGE}, {result.history}")
    return 1 if result.anomalies else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="seed of the faults and their targets; random by default")
    parser.add_argument("--rate", type=float, default=15.0, help="submissions per second")
    parser.add_argument(
        "--each", type=int, help="end early once each kind was injected so often, over all runs of this code"
    )
    parser.add_argument("--kinds", nargs="*", choices=list(FAULTS), help="kinds of faults; all by default")
    # Servers and workers have working folders of their own, so the path must be absolute.
    parser.add_argument("--folder", type=lambda path: Path(path).resolve(), default=Path("build").resolve())
    parser.add_argument(
        "--in-process", action="store_true", help="run in this process, without cleaning up if it is killed"
    )
    return parser


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - output of the command


if __name__ == "__main__":
    sys.exit(main())
