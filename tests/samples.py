"""Folders of input that tests ingest: the sample cities with their expected stores, and a small city made by hand."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parent / "data"
#: `city` and `city-2` with an expected.json each, and `bad` with faulty input.
SAMPLES = _DATA / "samples"
SMALL_CITY = _DATA / "small-city"
