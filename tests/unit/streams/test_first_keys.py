"""`first_keys` returns the first keys of a store's content, whatever changes led to it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import key_index
from streams.state import PartitionState, PartitionStore
from tests.unit.streams import toys

GROUPS = ["2026-04-01", "2026-04-02", "2026-10-01", "a", "a-b", ""]
KEYS = st.builds(
    lambda group, rest: group + rest, st.sampled_from(GROUPS), st.sampled_from(["", "/", "/p", "/q/r"])
)
#: A step and its key.
Steps = list[tuple[str, str]]
PUT, DELETE = "put", "delete"
CHANGES = st.tuples(st.sampled_from([PUT, DELETE]), KEYS)
RESTORES = st.tuples(st.sampled_from(["restore", "restore-deletion"]), KEYS)


def ended(parts: st.SearchStrategy[Steps], *ends: str) -> st.SearchStrategy[Steps]:
    """Return the steps of these parts with one of the ends after them."""
    return st.builds(lambda steps, end: [*steps, (end, "")], parts, st.sampled_from(ends))


def joined(parts: st.SearchStrategy[Steps], at_most: int) -> st.SearchStrategy[Steps]:
    """Return up to so many parts one after the other."""
    return st.lists(parts, max_size=at_most).map(lambda lists: [step for steps in lists for step in steps])


ATTEMPTS = ended(st.lists(CHANGES, max_size=6), "stage", "discard")
TRANSACTIONS = ended(joined(ATTEMPTS, 3), "commit", "rollback")
#: A restore comes first in a worker; here it may come at any time.
STEPS = joined(
    st.lists(RESTORES, max_size=6) | TRANSACTIONS | TRANSACTIONS | st.lists(CHANGES, max_size=3), 6
)


def new_state() -> PartitionState:
    """Return a state with an empty store `sums`."""
    return PartitionState(toys.CODEC, {"sums": "total"}, 1_000)


def value_of(key: str) -> dict[str, Any]:
    """Return a value."""
    return {"name": key, "sum": 1}


def first_of(keys: set[str], until: str, limit: int) -> list[str]:
    """Return what `first_keys` must return."""
    in_order = sorted((key.partition("/")[0], key) for key in keys)
    return [key for group, key in in_order if group <= until][:limit]


class PlainStore:
    """The layers of a store as plain dicts: whether each key has a value."""

    def __init__(self) -> None:
        self.attempt, self.pending, self.committed = dict[str, bool](), dict[str, bool](), dict[str, bool]()

    @property
    def keys(self) -> set[str]:
        """The keys that a processor sees."""
        layers = {**self.committed, **self.pending, **self.attempt}
        return {key for key, present in layers.items() if present}

    def apply(self, step: str, key: str) -> None:
        """Do one step."""
        if step in (PUT, DELETE):
            self.attempt[key] = step == PUT
        elif step.startswith("restore"):
            self.committed[key] = step == "restore"
        else:
            if step == "stage":
                self.pending |= self.attempt
            if step == "commit":
                self.committed |= self.pending
            if step in ("commit", "rollback"):
                self.pending.clear()
            self.attempt.clear()


def apply(state: PartitionState, step: str, key: str) -> None:
    """Do one step."""
    store = state["sums"]
    if step == PUT:
        store.put(key, value_of(key))
    elif step == DELETE:
        store.delete(key)
    elif step.startswith("restore"):
        store.restore([(key, b"value" if step == "restore" else None)])
    else:
        getattr(state, step)()


@given(
    steps=STEPS,
    first_call=st.integers(0, 20),
    until=st.sampled_from([*GROUPS, "2026-07-01", "z"]),
    limit=st.integers(0, 8),
)
def test_it_agrees_with_a_sorted_dict(steps: Steps, first_call: int, until: str, limit: int) -> None:
    """After each put, delete, end of an attempt or a transaction, and restore, from whichever first call on."""
    state, plain = new_state(), PlainStore()
    for number, (step, key) in enumerate(steps):
        apply(state, step, key)
        plain.apply(step, key)
        if number >= first_call or number == len(steps) - 1:
            assert state["sums"].first_keys("z", 100) == first_of(plain.keys, "z", 100)
            assert state["sums"].first_keys(until, limit) == first_of(plain.keys, until, limit)


@given(seed=st.randoms(use_true_random=False))
def test_many_keys_in_one_group(seed: Any) -> None:
    """Chunks are cut in two and become empty: the order stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_index, "_CHUNK", 4)
        store, keys = new_state()["sums"], set[str]()
        store.first_keys("", 1)
        for _ in range(200):
            key = f"day/{seed.randrange(60)}"
            if seed.random() < 0.6:
                store.put(key, value_of(key))
                keys.add(key)
            else:
                store.delete(key)
                keys.discard(key)
            assert store.first_keys("day", 100) == sorted(keys)
            assert store.first_keys("day", 3) == sorted(keys)[:3]


def test_a_store_that_is_never_asked_keeps_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes cost nothing more."""
    built = list[int]()
    monkeypatch.setattr("streams.state.KeyIndex", lambda keys: built.append(1))
    state = new_state()
    state["sums"].restore([("a/1", b"value")])
    state["sums"].put("a/2", value_of("a/2"))
    state.stage()
    state.commit()
    assert not built


def test_keys_are_processed_in_portions() -> None:
    """Take some, delete them, commit, continue: each key comes once, in order."""
    state, taken = new_state(), list[str]()
    store: PartitionStore = state["sums"]
    keys = [f"2026-{month:02}-01/{person:03}" for month in range(1, 13) for person in range(20)]
    store.restore([(key, b"value") for key in reversed(keys)])
    while portion := store.first_keys("2026-10-01", 7):
        taken += portion
        for key in portion:
            store.delete(key)
        state.stage()
        state.commit()
    assert taken == keys[:200]
    assert store.first_keys("2027-01-01", 1_000) == keys[200:]
