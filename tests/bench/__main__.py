"""`python -m tests.bench [--quick] [PART …]`: write the comparisons to build/bench.json and docs/performance.md."""

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
from tests.bench.sizes import FULL, QUICK, Sizes

#: Modules with a function `measure`, in the order in which they run. Each starts servers of its own.
PARTS: Final = (
    "conversion",
    "intake",
    "sink",
    "end_to_end",
    "kafka_streams",
    "propagation",
    "start",
    "scale",
    "compression",
)


def main() -> int:
    """Measure the parts and return 0, whether goals are met or not."""
    options = arguments().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = QUICK if options.quick else FULL
    measured: list[Figure] = []
    for part in options.parts:
        measured += _measure(part, options.folder, sizes)
        figures.save(options.folder / "bench.json", measured)
    for figure in measured:
        _print_line(_summary(figure))
    if not options.quick and set(options.parts) == set(PARTS):
        # Single parts and quick runs are for development: the document has the figures of full runs only.
        report.write(measured, sizes.rounds)
    return 0


def _measure(part: str, folder: Path, sizes: Sizes) -> list[Figure]:
    begun = time.monotonic()
    _print_line(f"{part}: starting empty servers …")
    module = importlib.import_module(f"tests.bench.{part}")
    measured: list[Figure] = module.measure(folder / "bench", sizes, _print_line)
    _print_line(f"{part}: done in {time.monotonic() - begun:.0f} s")
    return measured


def _summary(figure: Figure) -> str:
    columns = figure.as_json()
    met = {True: "met", False: "NOT met", None: ""}[figure.is_met]
    numbers = (
        f"{columns['value']!s:>9} {columns['compared_with']!s:>9} {figure.unit:16} {columns['ratio']!s:>6}"
    )
    return f"{figure.name:64} {numbers} {columns['goal'] or '':7} {met}"


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parts = f"of {', '.join(PARTS)}; all by default"
    parser.add_argument("parts", nargs="*", type=_part, default=list(PARTS), metavar="PART", help=parts)
    parser.add_argument("--quick", action="store_true", help="few records, three rounds")
    # The path is made absolute because servers have working folders of their own.
    parser.add_argument("--folder", type=lambda text: Path(text).resolve(), default=Path("build").resolve())
    return parser


def _part(name: str) -> str:
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"there is no part {name}; parts are {', '.join(PARTS)}")
    return name


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - progress for the terminal


if __name__ == "__main__":
    sys.exit(main())
