"""The digest of a state depends on its committed entries only, not on the way in which they came."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from streams.state import PartitionState
from tests.unit.streams import toys

ENTRIES = st.tuples(st.sampled_from(["a", "b", "c", "春子"]), st.none() | st.binary(max_size=3))


def restored_state(*entries: tuple[str, bytes | None], store: str = "sums") -> PartitionState:
    """Return a state with two stores, one of them restored from these changelog records, in this order."""
    state = PartitionState(toys.CODEC, {"sums": "total", "others": "total"}, 1_000)
    state[store].restore(entries)
    return state


@given(entries=st.lists(ENTRIES, max_size=20), split=st.integers(0, 20))
def test_the_digest_depends_on_the_remaining_entries_only(
    entries: list[tuple[str, bytes | None]], split: int
) -> None:
    """After changes and deletions, in one restore or two, it is that of the remaining entries in any order."""
    remaining = {key: value for key, value in dict(entries).items() if value is not None}
    state = restored_state(*entries[:split])
    state["sums"].restore(entries[split:])
    in_order, reverse = sorted(remaining.items()), reversed(remaining.items())
    assert state.digest == restored_state(*in_order).digest == restored_state(*reverse).digest
    assert state.entries == len(remaining)


@given(first=st.lists(ENTRIES, max_size=8), second=st.lists(ENTRIES, max_size=8))
def test_states_with_different_entries_have_different_digests(
    first: list[tuple[str, bytes | None]], second: list[tuple[str, bytes | None]]
) -> None:
    """A missing, additional or changed entry changes the digest."""
    equal_digests = restored_state(*first).digest == restored_state(*second).digest
    equal_entries = restored_state(*first)["sums"].committed == restored_state(*second)["sums"].committed
    assert equal_digests == equal_entries


def test_the_digest_changes_if_values_change_places() -> None:
    """Exchanging the values of two keys, or moving entries to another store, changes the digest."""
    state = restored_state(("a", b"1"), ("b", b"2"))
    assert state.digest != restored_state(("a", b"2"), ("b", b"1")).digest
    assert state.digest != restored_state(("a", b"1"), ("b", b"2"), store="others").digest


def test_the_digest_may_be_logged() -> None:
    """It has no long run of digits or letters that could be taken for a person's code."""
    assert re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{4}", restored_state(("a", b"1")).digest)


def test_only_committed_entries_count() -> None:
    """Changes of an attempt and pending changes don't change the digest, a commit does."""
    state = restored_state(("a", b"1"))
    before = state.digest
    state["sums"].put("b", {"name": "b", "sum": 1})
    assert state.digest == before
    state.stage()
    assert state.digest == before
    state.rollback()
    assert state.digest == before
    state["sums"].put("b", {"name": "b", "sum": 1})
    state.stage()
    state.commit()
    assert state.digest != before
