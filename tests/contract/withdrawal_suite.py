"""The contract suite of sinks of domains with addresses: `SinkSuite`, and the tests of withdrawals."""

from __future__ import annotations

from abc import abstractmethod

from connectors.sink import Sink, batch_of
from schemas.tables import table_from_rows
from schemas.topics import withdrawal_topic
from streams.clients import LocalMessage
from tests.contract.sink_suite import (
    CODEC,
    DOMAIN,
    MUNICIPALITY,
    TIMESTAMP_MS,
    Change,
    SinkSuite,
    apply_changes,
    run_command,
)


def withdraw(sink: Sink, *withdrawals: tuple[str, int], start: int = 0) -> None:
    """Withdraw the addresses of codes up to revisions, by records from offset `start` on."""
    rows = [{"code": code, "revision": revision} for code, revision in withdrawals]
    values = CODEC.encode("withdrawal", table_from_rows("withdrawal", rows)).to_pylist()
    records = [
        LocalMessage((withdrawal_topic(DOMAIN.id), 0), start + index, b"key", value, TIMESTAMP_MS)
        for index, value in enumerate(values)
    ]
    sink.withdraw(batch_of(CODEC, "withdrawal", records, {0: start + len(records)}))


class WithdrawalSuite(SinkSuite):
    """The tests of `Sink.withdraw`."""

    @abstractmethod
    def addresses(self) -> dict[tuple[str, str], str | None]:
        """Return the addresses of the persons in the store, by code and municipality."""

    def test_a_withdrawal_takes_the_address_out_of_every_row(self, sink: Sink) -> None:
        """Of that code alone, up to that revision; everything else of the rows stays."""
        apply_changes(
            sink,
            Change("a", 1, address="here"),
            Change("a", 2, address="there", municipality="141097"),
            Change("b", 1, address="other"),
            Change("c", 3, address="newer"),
        )
        assert dict(sink.withdrawal_offsets([0, 1])) == {0: 0, 1: 0}
        withdraw(sink, ("a", 2), ("c", 2), ("d", 1))
        withheld = {("a", MUNICIPALITY): None, ("a", "141097"): None}
        assert self.addresses() == {**withheld, ("b", MUNICIPALITY): "other", ("c", MUNICIPALITY): "newer"}
        assert self.row("a") == ("NAME", 1)
        assert dict(sink.withdrawal_offsets([0, 1])) == {0: 3, 1: 0}

    def test_no_older_change_brings_a_withdrawn_address_back(self, sink: Sink) -> None:
        """Whatever the order of changes and withdrawals, and of withdrawals among each other."""
        withdraw(sink, ("a", 5))
        withdraw(sink, ("a", 3), start=1)
        apply_changes(sink, Change("a", 1, address="1"), Change("a", 4, address="4", municipality="141097"))
        assert set(self.addresses().values()) == {None}
        apply_changes(sink, Change("a", 6, address="6"), Change("a", 5, address="5", municipality="141097"))
        assert self.addresses() == {("a", MUNICIPALITY): "6", ("a", "141097"): None}

    def test_a_withdrawal_passes_a_dead_letter(self, sink: Sink) -> None:
        """The change that withholds is blocked; the store shows no address all the same."""
        apply_changes(sink, Change("a", 1, address="1"), Change("a", 2, status="unknown"), Change("a", 3))
        withdraw(sink, ("a", 3))
        assert self.addresses() == {("a", MUNICIPALITY): None}

    def test_a_retried_dead_letter_brings_no_withdrawn_address_back(self, sink: Sink) -> None:
        """Neither does a repair, nor what was blocked behind it."""
        invalid = Change("a", 1, status="unknown", address="1")
        changes = [invalid, Change("a", 2, address="2"), Change("a", 3, address="3", municipality="141097")]
        apply_changes(sink, *changes)
        withdraw(sink, ("a", 3))
        run_command(sink, "REPAIR", changes, invalid._replace(status="active"))
        assert self.addresses() == {("a", MUNICIPALITY): None, ("a", "141097"): None}
        assert self.row("a") == ("NAME", 2)

    def test_a_withdrawal_obeyed_twice_changes_nothing(self, sink: Sink, other: Sink) -> None:
        """Another worker obeys it later, when the address has been given again; no offset goes back."""
        apply_changes(sink, Change("a", 1, address="1"))
        withdraw(sink, ("a", 1), ("b", 1))
        apply_changes(sink, Change("a", 2, address="2"))
        withdraw(other, ("a", 1))
        assert self.addresses() == {("a", MUNICIPALITY): "2"}
        assert dict(other.withdrawal_offsets([0])) == {0: 2}
