"""`python -m tests.bench [--quick] [PART …]`: the comparisons, into build/bench.json and docs/performance.md."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench import figures, report
from tests.bench.figures import Figure
from tests.bench.sizes import QUICK, WHOLE, Sizes

#: Modules with a function `measure`, in the order in which they run; each makes servers of its own.
PARTS: Final = (
    "conversion",
    "intake",
    "sink",
    "whole_way",
    "kafka_streams",
    "propagation",
    "start",
    "scale",
    "compression",
)


def main() -> int:
    """0 where all was measured, whatever it came to."""
    told = arguments().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = QUICK if told.quick else WHOLE
    found: list[Figure] = []
    for part in told.parts:
        found += _measured(part, told.folder, sizes)
        figures.save(told.folder / "bench.json", found)
    for each in found:
        _say(_line(each))
    if not told.quick and set(told.parts) == set(PARTS):
        # A part, or few records, is for who develops: documents are of whole runs.
        report.write(found, sizes.rounds)
    return 0


def _measured(part: str, folder: Path, sizes: Sizes) -> list[Figure]:
    begun = time.monotonic()
    _say(f"{part}: servers that hold nothing …")
    module = importlib.import_module(f"tests.bench.{part}")
    found: list[Figure] = module.measure(folder / "bench", sizes, _say)
    _say(f"{part}: done in {time.monotonic() - begun:.0f} s")
    return found


def _line(figure: Figure) -> str:
    told = figure.as_json()
    met = {True: "met", False: "NOT met", None: ""}[figure.met]
    numbers = f"{told['ours']!s:>9} {told['theirs']!s:>9} {figure.unit:16} {told['ratio']!s:>6}"
    return f"{figure.name:64} {numbers} {told['goal'] or '':7} {met}"


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    told = f"of {', '.join(PARTS)}; all by default"
    parser.add_argument("parts", nargs="*", type=_part, default=list(PARTS), metavar="PART", help=told)
    parser.add_argument("--quick", action="store_true", help="few records, three rounds")
    # Servers have working folders of their own: a relative one would mean another place to each.
    parser.add_argument("--folder", type=lambda given: Path(given).resolve(), default=Path("build").resolve())
    return parser


def _part(given: str) -> str:
    if given not in PARTS:
        raise argparse.ArgumentTypeError(f"no part {given}; there are {', '.join(PARTS)}")
    return given


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - whoever started it looks on


if __name__ == "__main__":
    sys.exit(main())
