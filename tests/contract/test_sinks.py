"""The suite of sinks can be passed, and sees what it is there to see."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from connectors.sink import SinkBatch
from tests.contract.memory_sink import MemorySink, MemoryStore
from tests.contract.sink_suite import CODING, DOMAIN, STEP, Letter, Receipt, SinkSuite


class TestMemorySink(SinkSuite):
    """A store in memory."""

    @pytest.fixture(autouse=True)
    def store(self) -> MemoryStore:
        """An empty store."""
        self.held = MemoryStore()
        return self.held

    @pytest.fixture
    def sink(self, store: MemoryStore) -> MemorySink:
        """A sink of the store."""
        return MemorySink(store, CODING, DOMAIN.event, STEP)

    @pytest.fixture
    def other(self, store: MemoryStore) -> MemorySink:
        """Another."""
        return MemorySink(store, CODING, DOMAIN.event, STEP)

    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Persons."""
        return self._of("PERSON", "name")

    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Accounts."""
        return self._of("ACCOUNT", "holder_kana")

    def receipts(self) -> list[Receipt]:
        """In order."""
        return [Receipt(*receipt) for receipt in self.held.receipts]

    def letters(self) -> list[Letter]:
        """In order."""
        return [Letter(*letter) for letter in self.held.open_dead_letters]

    def _of(self, entity: str, column: str) -> dict[tuple[str, str], tuple[str | None, int]]:
        return {
            (code, place): (content[column], revision)
            for (kind, code, place), (content, revision) in self.held.rows.items()
            if kind == entity and content is not None
        }


class Forgetful(MemorySink):
    """Keeps no offsets, as a sink that leaves them to the group."""

    def flush(self) -> dict[int, int]:
        """Rows, but not where they end."""
        found = dict(super().flush())
        self._store.offsets.clear()
        return found


class Careless(MemorySink):
    """Drops what can't be decoded."""

    def put(self, batch: SinkBatch) -> None:
        """Without its faults."""
        good = [batch.records[index] for index in batch.record_indices]
        super().put(SinkBatch(batch.table, good, range(len(good)), batch.next_offsets))


class Overtaking(MemorySink):
    """Keeps nobody back behind a letter."""

    def flush(self) -> Mapping[int, int]:
        """As if nothing were set aside."""
        self._store.aside.clear()
        return super().flush()


class Latest(MemorySink):
    """The last change wins, whatever its revision."""

    def put(self, batch: SinkBatch) -> None:
        """Forgets what revisions there were."""
        self._store.rows = {key: (content, -1) for key, (content, _) in self._store.rows.items()}
        super().put(batch)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Forgetful, TestMemorySink.test_rows_offsets_and_receipts_come_together),
        (Forgetful, TestMemorySink.test_a_zombie_commits_nothing),
        (Careless, TestMemorySink.test_several_puts_are_one_commit),
        (Overtaking, TestMemorySink.test_later_records_of_the_same_person_wait),
        (Latest, TestMemorySink.test_what_is_deleted_does_not_come_back),
    ],
)
def test_a_sink_that_breaks_a_promise_is_seen(broken: type[MemorySink], promise: object) -> None:
    """Seeded faults, each caught by the test of the promise that it breaks."""
    suite = TestMemorySink()
    suite.held = MemoryStore()
    given = {name: broken(suite.held, CODING, DOMAIN.event, STEP) for name in ("sink", "other")}
    assert callable(promise)
    wanted = promise.__code__.co_varnames[1 : promise.__code__.co_argcount]  # type: ignore[attr-defined]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        promise(suite, *(given[name] for name in wanted))
