"""Where a measurement leaves its figures: `build/figures/<name>.json`, for docs/performance.md and whoever compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

FOLDER = Path(__file__).parents[2] / "build" / "figures"


def leave(name: str, **figures: Any) -> None:
    """Writes one measurement's figures; units are in their names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_bytes(orjson.dumps(figures, option=orjson.OPT_INDENT_2))
