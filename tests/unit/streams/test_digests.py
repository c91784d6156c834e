"""A state's digest is that of its entries, whatever way they came."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from streams.state import PartitionState
from tests.unit.streams import toys

ENTRIES = st.tuples(st.sampled_from(["a", "b", "c", "春子"]), st.none() | st.binary(max_size=3))


def state(*entries: tuple[str, bytes | None], store: str = "sums") -> PartitionState:
    """Stores that took in these records, in this order."""
    made = PartitionState(toys.CODEC, {"sums": "total", "others": "total"}, 1_000)
    made[store].restore(entries)
    return made


@given(entries=st.lists(ENTRIES, max_size=20), cut=st.integers(0, 20))
def test_it_is_that_of_what_is_left(entries: list[tuple[str, bytes | None]], cut: int) -> None:
    """Changed, deleted, in one go or two: as if only what is left had ever come, in any order."""
    left = {key: value for key, value in dict(entries).items() if value is not None}
    found = state(*entries[:cut])
    found["sums"].restore(entries[cut:])
    assert found.digest == state(*sorted(left.items())).digest == state(*reversed(left.items())).digest
    assert found.entries == len(left)


@given(one=st.lists(ENTRIES, max_size=8), other=st.lists(ENTRIES, max_size=8))
def test_other_entries_have_another(
    one: list[tuple[str, bytes | None]], other: list[tuple[str, bytes | None]]
) -> None:
    """A value that is lost, that went to another key or to another store, is seen."""
    assert (state(*one).digest == state(*other).digest) == (
        state(*one)["sums"].committed == state(*other)["sums"].committed
    )


def test_values_that_changed_places_are_seen() -> None:
    """Of keys, and of stores."""
    before = state(("a", b"1"), ("b", b"2"))
    assert before.digest != state(("a", b"2"), ("b", b"1")).digest
    assert before.digest != state(("a", b"1"), ("b", b"2"), store="others").digest


def test_it_can_be_logged() -> None:
    """No run of digits or letters that a person's code could hide in."""
    assert re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{4}", state(("a", b"1")).digest)


def test_only_what_is_committed_counts() -> None:
    """Neither what an attempt put, nor what the open transaction holds."""
    found = state(("a", b"1"))
    before = found.digest
    found["sums"].put("b", {"name": "b", "sum": 1})
    assert found.digest == before
    found.stage()
    assert found.digest == before
    found.rollback()
    assert found.digest == before
    found["sums"].put("b", {"name": "b", "sum": 1})
    found.stage()
    found.commit()
    assert found.digest != before
