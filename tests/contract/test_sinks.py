"""The sink in memory passes the suite of sinks, and the suite detects sinks that break a guarantee."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest

from connectors.sink import SinkBatch
from tests.contract.memory_sink import MemorySink, MemoryStore
from tests.contract.sink_suite import CODING, DOMAIN, STEP, OpenDeadLetter, Receipt
from tests.contract.withdrawal_suite import WithdrawalSuite


class TestMemorySink(WithdrawalSuite):
    """The suite on a store in memory."""

    @pytest.fixture(autouse=True)
    def store(self) -> MemoryStore:
        """Return an empty store."""
        self.memory = MemoryStore()
        return self.memory

    @pytest.fixture
    def sink(self, store: MemoryStore) -> MemorySink:
        """Return a sink of the store."""
        return MemorySink(store, CODING, DOMAIN.event, STEP)

    @pytest.fixture
    def other(self, store: MemoryStore) -> MemorySink:
        """Return another sink of the store."""
        return MemorySink(store, CODING, DOMAIN.event, STEP)

    def rows(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the persons."""
        return self.memory.rows_of("PERSON", "name")

    def addresses(self) -> dict[tuple[str, str], str | None]:
        """Return the addresses of the persons."""
        return {key: address for key, (address, _) in self.memory.rows_of("PERSON", "address").items()}

    def accounts(self) -> dict[tuple[str, str], tuple[str | None, int]]:
        """Return the accounts."""
        return self.memory.rows_of("ACCOUNT", "holder_kana")

    def receipts(self) -> list[Receipt]:
        """Return the receipts in order."""
        return [Receipt(*receipt) for receipt in self.memory.receipts]

    def dead_letters(self) -> list[OpenDeadLetter]:
        """Return the published dead letters in order."""
        return [OpenDeadLetter(*dead_letter) for dead_letter in self.memory.published_dead_letters]


class SinkWithoutOffsets(MemorySink):
    """A broken sink that stores no offsets, as if it left them to the consumer group."""

    def flush(self) -> dict[int, int]:
        """Store rows without the offsets after them."""
        next_offsets = dict(super().flush())
        self._store.offsets.clear()
        return next_offsets


class SinkThatDropsUndecodable(MemorySink):
    """A broken sink that drops records that cannot be decoded."""

    def put(self, batch: SinkBatch) -> None:
        """Accept a batch without its faults."""
        decoded = [batch.records[index] for index in batch.record_indices]
        super().put(SinkBatch(batch.table, decoded, range(len(decoded)), batch.next_offsets))


class SinkWithoutBlocking(MemorySink):
    """A broken sink that blocks no records behind a dead letter."""

    def flush(self) -> Mapping[int, int]:
        """Apply records as if the dead-letter queue were empty."""
        self._store.queue.clear()
        return super().flush()


class SinkWithoutRevisions(MemorySink):
    """A broken sink in which the last change wins, whatever its revision."""

    def put(self, batch: SinkBatch) -> None:
        """Delete the stored revisions first."""
        self._store.rows = {key: (content, -1) for key, (content, _) in self._store.rows.items()}
        super().put(batch)


class SinkWhoseWithdrawalsWait(MemorySink):
    """A broken sink that withdraws nothing of a person who has a dead letter."""

    def withdraw(self, batch: SinkBatch) -> None:
        """Withdraw only the addresses of others."""
        blocked = {queued.person[0] for queued in self._store.queue.values() if queued.person}
        codes = batch.table.column("code").to_pylist()
        rows = [row for row, code in enumerate(codes) if code not in blocked]
        table = batch.table.take(pa.array(rows, pa.int64()))
        super().withdraw(SinkBatch(table, batch.records, rows, batch.next_offsets))


class SinkThatForgetsWithdrawals(MemorySink):
    """A broken sink that takes addresses out, but remembers no revision."""

    def withdraw(self, batch: SinkBatch) -> None:
        """Forget the revisions afterwards."""
        super().withdraw(batch)
        self._store.withdrawn.clear()


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (SinkWithoutOffsets, TestMemorySink.test_flush_stores_rows_offsets_and_receipts),
        (SinkWithoutOffsets, TestMemorySink.test_a_zombie_commits_nothing),
        (SinkThatDropsUndecodable, TestMemorySink.test_several_puts_are_one_commit),
        (SinkWithoutBlocking, TestMemorySink.test_later_records_of_the_same_person_are_blocked),
        (SinkWithoutRevisions, TestMemorySink.test_an_older_change_does_not_restore_a_deleted_row),
        (SinkWhoseWithdrawalsWait, TestMemorySink.test_a_withdrawal_passes_a_dead_letter),
        (SinkThatForgetsWithdrawals, TestMemorySink.test_no_older_change_brings_a_withdrawn_address_back),
    ],
)
def test_the_suite_detects_a_broken_sink(broken: type[MemorySink], test: object) -> None:
    """Each seeded fault fails the test of the guarantee that it breaks."""
    suite = TestMemorySink()
    suite.memory = MemoryStore()
    fixtures = {name: broken(suite.memory, CODING, DOMAIN.event, STEP) for name in ("sink", "other")}
    assert callable(test)
    arguments = test.__code__.co_varnames[1 : test.__code__.co_argcount]  # type: ignore[attr-defined]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(suite, *(fixtures[name] for name in arguments))
