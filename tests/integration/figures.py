"""Writes measurements to `build/figures/<name>.json`, for docs/performance.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).parents[2] / "build" / "figures"


def write_figures(name: str, **figures: Any) -> None:
    """Write the figures of one measurement; their names end in the unit."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
