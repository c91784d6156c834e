"""`python -m tests.chaos.seeded [DEFECT …]`: a short run for each defect; the checker must find every one.

The figures are left in build/chaos-seeded.json, a defect each.
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
    """0 where every defect was found, 1 where one wasn't."""
    parser = argparse.ArgumentParser(prog="chaos-seeded", description=__doc__)
    parser.add_argument("defects", nargs="*", help=f"of: {', '.join(DEFECTS)}; all by default")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=15.0, help="hand-overs a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build"))
    told = parser.parse_args()
    chosen = told.defects or list(DEFECTS)
    missed = [name for name in chosen if not _found(name, told)]
    _say(
        f"{len(chosen) - len(missed)} of {len(chosen)} defects found"
        + (f"; not {', '.join(missed)}" if missed else "")
    )
    return 1 if missed else 0


def _found(name: str, told: argparse.Namespace) -> bool:
    defect = DEFECTS[name]
    _say(f"{name}: {defect.what}; by {', '.join(defect.kinds)}")
    plan = Plan(
        folder=told.folder / "chaos-seeded",
        minutes=told.minutes,
        seed=told.seed,
        kinds=defect.kinds,
        rate=told.rate,
        workers=defect.workers,
        defect=name,
        steps=defect.steps,
        days=defect.days,
    )
    result = run(plan, _say)
    file = told.folder / FIGURES
    found: dict[str, Any] = figures.load(file)
    figures.save(file, found | {name: figures.of_run(plan, result)})
    for each in result.anomalies:
        _say(f"  {each.kind}: {each.count}, for example: {each.examples[0]}")
    return any(each.kind in defect.shows for each in result.anomalies)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - whoever started it looks on


if __name__ == "__main__":
    sys.exit(main())
