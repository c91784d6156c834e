"""build/chaos.json: the figures of all runs. Only runs of the current code count; earlier runs stay listed."""

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

#: Folders whose code a run tests: a change in them starts a new count.
TESTED: Final = ("streams", "processors", "connectors", "schemas", "infra/run")
#: What `make chaos-report` has published, from which every machine continues.
PUBLISHED: Final = ROOT / "docs" / "chaos.json"
#: Promised limits of the stall after a fault in seconds, without the restore: the slot's worker is restarted at once,
#: or others take over within one and a half times the session timeout (10 s).
LIMITS_S: Final[Mapping[str, float]] = {"worker-kill": 3.0, "worker-down": 15.0}

Run = dict[str, Any]
Figures = dict[str, Any]


def run_figures(plan: Plan, result: Result) -> Run:
    """Return the figures of one run."""
    return {
        "history": result.history.name,
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "code": code_digest(),
        "seed": plan.seed,
        # The minutes with faults: a run ends early if the mesh doesn't recover from one.
        "minutes": round(max((outcome.recovered_s for outcome in result.outcomes), default=0.0) / 60, 2),
        "rate": plan.rate,
        "workers": plan.workers,
        "defect": plan.defect,
        "counts": dict(result.counts),
        "anomalies": {anomaly.kind: anomaly.count for anomaly in result.anomalies},
        "examples": {anomaly.kind: list(anomaly.examples) for anomaly in result.anomalies},
        "faults": [
            {
                "kind": outcome.kind,
                "target": outcome.target,
                "detail": outcome.detail,
                "stall_s": _finite(outcome.stall_s),
                "restore_s": restore_s(result, index),
                "readers_blocked_s": outcome.readers_blocked_s,
                "recovery_s": round(outcome.recovered_s - outcome.healed_s, 3),
                "recovered": outcome.recovered,
            }
            for index, outcome in enumerate(result.outcomes)
        ],
    }


def restore_s(result: Result, index: int) -> float:
    """Return the duration of the restore of the slowest partition of a fault; 0 if there was none."""
    outcome = result.outcomes[index]
    _, _, partition = outcome.slowest_partition.partition("/")
    step = outcome.target.rpartition(", ")[2].rpartition(".")[0]
    return max(
        (
            restore.duration_s
            for restore in result.restores
            if restore.step == step
            and str(restore.partition) == partition
            and outcome.injected_s <= restore.ended_s <= outcome.recovered_s
        ),
        default=0.0,
    )


def add_run(before: Figures, run: Run) -> Figures:
    """Return the figures with one more run, counted over all runs of the same code."""
    runs = [*before.get("runs", ()), run]
    counted = [counted_run for counted_run in runs if counted_run["code"] == run["code"]]
    faults = [fault for counted_run in counted for fault in counted_run["faults"]]
    anomalies = sum((Counter(counted_run["anomalies"]) for counted_run in counted), Counter[str]())
    return {
        "commit": run["commit"],
        "code": run["code"],
        "runs_counted": len(counted),
        "minutes": round(sum(counted_run["minutes"] for counted_run in counted), 2),
        "batches_committed": _sum_counts(counted, "batches_committed"),
        "submissions": _sum_counts(counted, "submissions"),
        "faults": dict(sorted(Counter(fault["kind"] for fault in faults).items())),
        "anomalies": dict(anomalies),
        "recovery": {kind: _recovery(kind, of_kind) for kind, of_kind in sorted(_by_kind(faults).items())},
        "runs": runs,
    }


def injected_counts(figures: Figures, code: str) -> dict[str, int]:
    """Return how often each kind of fault was injected in runs of the code with this digest."""
    return dict(figures.get("faults", {})) if figures.get("code") == code else {}


def load_best(file: Path, published: Path = PUBLISHED) -> Figures:
    """Return this machine's figures or the published ones, whichever have more faults of the current code."""
    code = code_digest()
    candidates = [load(file), load(published)]
    return max(candidates, key=lambda figures: sum(injected_counts(figures, code).values()))


def load(file: Path) -> Figures:
    """Return the figures in a file; empty if it doesn't exist."""
    try:
        figures: Figures = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return figures


def save(file: Path, figures: Figures) -> None:
    """Write the figures to a file, atomically."""
    draft = file.with_suffix(".draft")
    draft.write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
    draft.replace(file)


def code_digest() -> str:
    """Return the digest of the code that a run tests."""
    digest = hashlib.sha256()
    for folder in TESTED:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".avsc"}:
                digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _sum_counts(runs: Iterable[Run], name: str) -> int:
    return sum(run["counts"].get(name, 0) for run in runs)


def _by_kind(faults: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for fault in faults:
        by_kind.setdefault(fault["kind"], []).append(fault)
    return by_kind


def _recovery(kind: str, faults: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return median and longest times of a kind of fault, in seconds."""
    measured = [fault for fault in faults if fault["stall_s"] is not None]
    without_restore = [max(0.0, fault["stall_s"] - fault["restore_s"]) for fault in measured]
    limit = LIMITS_S.get(kind)
    return {
        "measured": len(measured),
        "stall_s": _median_and_max(fault["stall_s"] for fault in measured),
        "stall_without_restore_s": _median_and_max(without_restore),
        "restore_s": _median_and_max(fault["restore_s"] for fault in measured),
        "readers_blocked_s": _median_and_max(fault["readers_blocked_s"] for fault in faults),
        "recovery_s": _median_and_max(fault["recovery_s"] for fault in faults),
        **(
            {"limit_s": limit, "within": sum(seconds <= limit for seconds in without_restore)}
            if limit
            else {}
        ),
    }


def _median_and_max(values: Iterable[float]) -> dict[str, float] | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return {"median": round(statistics.median(ordered), 2), "max": round(ordered[-1], 2)}


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and math.isfinite(seconds) else None


def _git(*arguments: str) -> str:
    ended = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return ended.stdout.strip()
