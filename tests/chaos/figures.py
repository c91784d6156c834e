"""build/chaos.json: all runs together, of the code as it is now. Other code begins anew; its runs are kept apart."""

from __future__ import annotations

import hashlib
import math
import statistics
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from tests.chaos.proxy import ROOT
from tests.chaos.run import Plan, Result

#: What a run shows something of: a change here begins anew.
PARTS: Final = ("streams", "processors", "connectors", "schemas", "infra/run")
#: What `make chaos-report` has written down for whoever counts on, on whatever machine.
LEDGER: Final = ROOT / "docs" / "chaos.json"
#: Kinds of faults whose standstill the mesh promises a limit of, in seconds, restoring apart: started again at once, or
#: taken over by others after one and a half times the session's timeout (10 s).
LIMITS_S: Final[Mapping[str, float]] = {"worker-kill": 3.0, "worker-gone": 15.0}

Run = dict[str, Any]
Figures = dict[str, Any]


def of_run(plan: Plan, result: Result) -> Run:
    """One run, as it is kept."""
    return {
        "history": result.history.name,
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "code": digest(),
        "seed": plan.seed,
        # Those that faults took: a run ends where one of them isn't recovered from.
        "minutes": round(max((each.recovered_s for each in result.outcomes), default=0.0) / 60, 2),
        "rate": plan.rate,
        "workers": plan.workers,
        "defect": plan.defect,
        "counts": dict(result.counts),
        "anomalies": {each.kind: each.count for each in result.anomalies},
        "examples": {each.kind: list(each.examples) for each in result.anomalies},
        "faults": [
            {
                "kind": each.kind,
                "target": each.target,
                "detail": each.detail,
                "stood_still_s": _finite(each.stood_still_s),
                "restore_s": restore_s(result, index),
                "held_up_s": each.held_up_s,
                "recovered_s": round(each.recovered_s - each.mended_s, 3),
                "recovered": each.recovered,
            }
            for index, each in enumerate(result.outcomes)
        ],
    }


def restore_s(result: Result, index: int) -> float:
    """How long state was restored in the partition that stood still longest; 0 where nothing was."""
    outcome = result.outcomes[index]
    _, _, number = outcome.where.partition("/")
    step = outcome.target.rpartition(", ")[2].rpartition(".")[0]
    return max(
        (
            took_s
            for of_step, partition, at_s, took_s in result.restores
            if of_step == step
            and str(partition) == number
            and outcome.struck_s <= at_s <= outcome.recovered_s
        ),
        default=0.0,
    )


def added(before: Figures, run: Run) -> Figures:
    """All runs with one more, and the figures of those of the code as it is now."""
    runs = [*before.get("runs", ()), run]
    now = [each for each in runs if each["code"] == run["code"]]
    faults = [fault for each in now for fault in each["faults"]]
    return {
        "commit": run["commit"],
        "code": run["code"],
        "runs_counted": len(now),
        "minutes": round(sum(each["minutes"] for each in now), 2),
        "commits": sum(each["counts"].get("batches_committed", 0) for each in now),
        "hand_overs": sum(each["counts"].get("hand_overs", 0) for each in now),
        "faults": dict(sorted(Counter(fault["kind"] for fault in faults).items())),
        "anomalies": dict(sum((Counter(each["anomalies"]) for each in now), Counter[str]())),
        "recovery": {kind: _recovery(kind, of) for kind, of in sorted(_by_kind(faults).items())},
        "runs": runs,
    }


def struck(figures: Figures, code: str) -> dict[str, int]:
    """How often each kind struck in the runs of this code."""
    return dict(figures.get("faults", {})) if figures.get("code") == code else {}


def known(file: Path, ledger: Path = LEDGER) -> Figures:
    """Those of this machine, or as far as they were written down, where that is more of the code as it is now."""
    code, found = digest(), [load(file), load(ledger)]
    return max(found, key=lambda figures: sum(struck(figures, code).values()))


def load(file: Path) -> Figures:
    """What is in the file; nothing where there is none."""
    try:
        found: Figures = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return found


def save(file: Path, figures: Figures) -> None:
    """Write it, whole or not at all."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    draft.replace(file)


def digest() -> str:
    """Of the code that a run shows something of."""
    found = hashlib.sha256()
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*")):
            if path.suffix in {".py", ".avsc"}:
                found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _by_kind(faults: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for fault in faults:
        found.setdefault(fault["kind"], []).append(fault)
    return found


def _recovery(kind: str, faults: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians and longest times in seconds: standing still, of that restoring, readers held up, until all was whole."""
    known = [fault for fault in faults if fault["stood_still_s"] is not None]
    apart = [max(0.0, fault["stood_still_s"] - fault["restore_s"]) for fault in known]
    limit = LIMITS_S.get(kind)
    return {
        "measured": len(known),
        "stood_still_s": _spread(fault["stood_still_s"] for fault in known),
        "without_restore_s": _spread(apart),
        "restore_s": _spread(fault["restore_s"] for fault in known),
        "held_up_s": _spread(fault["held_up_s"] for fault in faults),
        "whole_again_s": _spread(fault["recovered_s"] for fault in faults),
        **({"limit_s": limit, "within": sum(each <= limit for each in apart)} if limit else {}),
    }


def _spread(values: Iterable[float]) -> dict[str, float] | None:
    found = sorted(values)
    return {"median": round(statistics.median(found), 2), "max": round(found[-1], 2)} if found else None


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _git(*words: str) -> str:
    ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return ended.stdout.strip()
