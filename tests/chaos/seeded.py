"""`python -m tests.chaos.seeded [DEFECT …]`: a short run per seeded defect; the checker must find each.

The figures are written to build/chaos-seeded.json, by defect.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from tests.chaos import figures
from tests.chaos.defects import DEFECTS
from tests.chaos.run import Plan, run

FIGURES: Final = "chaos-seeded.json"


def main() -> int:
    """Return the exit code: 0 if every defect was found, otherwise 1."""
    parser = argparse.ArgumentParser(prog="chaos-seeded", description=__doc__)
    parser.add_argument("defects", nargs="*", help=f"any of {', '.join(DEFECTS)}; all by default")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=15.0, help="submissions per second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    arguments = parser.parse_args()
    names = arguments.defects or list(DEFECTS)
    missed = [name for name in names if not _is_found(name, arguments)]
    _print_line(
        f"{len(names) - len(missed)} of {len(names)} defects found"
        + (f"; not found: {', '.join(missed)}" if missed else "")
    )
    return 1 if missed else 0


def _is_found(name: str, arguments: argparse.Namespace) -> bool:
    defect = DEFECTS[name]
    _print_line(f"{name}: {defect.description}; faults: {', '.join(defect.kinds)}")
    plan = Plan(
        folder=arguments.folder / "chaos-seeded",
        minutes=arguments.minutes,
        seed=arguments.seed,
        kinds=defect.kinds,
        rate=arguments.rate,
        workers=defect.workers,
        defect=name,
        steps=defect.steps,
        days=defect.days,
    )
    result = run(plan, _print_line)
    file = arguments.folder / FIGURES
    by_defect: dict[str, Any] = figures.load(file)
    figures.save(file, by_defect | {name: figures.run_figures(plan, result)})
    for anomaly in result.anomalies:
        _print_line(f"  {anomaly.kind}: {anomaly.count}, for example: {anomaly.examples[0]}")
    return any(anomaly.kind in defect.shows for anomaly in result.anomalies)


def _print_line(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - output of the command


if __name__ == "__main__":
    sys.exit(main())
