"""The copied samples, where the folder they were copied from is there too."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.samples import SAMPLES

ORIGINAL = Path(__file__).parents[3] / "shared" / "samples"


@pytest.mark.skipif(
    not ORIGINAL.is_dir(), reason="the samples' original folder is not beside this repository"
)
def test_the_copied_samples_equal_their_original() -> None:
    """Every copied file has the bytes of the file it was copied from, and no input is missing.

    Where the original has an expected.new.json, by the rules that hold now, the copied expected.json is that one.
    """
    copies = {path.relative_to(SAMPLES): path.read_bytes() for path in SAMPLES.rglob("*") if path.is_file()}
    originals = {
        path.relative_to(ORIGINAL): _newest(path).read_bytes()
        for path in ORIGINAL.rglob("*")
        if path.is_file() and path.name != "README.md" and not path.name.startswith("expected.new")
    }
    assert copies == originals


def _newest(path: Path) -> Path:
    """Return the file by the rules that hold now."""
    newer = path.with_name("expected.new.json")
    return newer if path.name == "expected.json" and newer.exists() else path
