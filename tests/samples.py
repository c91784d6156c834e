"""Folders of input files for tests: the sample cities and a small city made by hand, with their expected contents."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parent / "data"
#: Has folders `city` and `city-2`, each with an expected.json, and `bad` with faulty files.
SAMPLES = _DATA / "samples"
#: A city of forty residents, with an expected.json.
SMALL_CITY = _DATA / "small-city"
