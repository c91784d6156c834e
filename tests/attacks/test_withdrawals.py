"""Attack 8: the change that withholds an address waits behind a dead letter, and the store goes on showing it."""

from __future__ import annotations

import pytest

from connectors.postgres.sink import PostgresSink
from connectors.sink import batch_of
from schemas.systems import DOMAINS
from schemas.topics import domain_topic, withdrawal_topic
from streams.testing.driver import TopologyTestDriver
from tests.attacks.protected_resident import PROTECTED, Submitted, new_driver, notice, received, submit
from tests.attacks.test_protection_in_dead_letters import FailingConversion, failing_steps
from tests.contract.sink_suite import CODING
from tests.simulation.postgres import SimDatabase, StoreAccess
from tests.simulation.test_store import FaultlessHost
from tests.simulation.virtual_time import VirtualTime

pytestmark = pytest.mark.unit

DOMAIN = DOMAINS["local-tax"]
#: Registered, renamed, protected: the sink rejects the second name.
RENAMED = (PROTECTED[0], notice("131041", "7", "氏名変更", "2026-02-05", name="別名　一郎"), PROTECTED[2])


class Store:
    """The store of local tax, and its sink, which reads what conversion has published."""

    def __init__(self, driver: TopologyTestDriver) -> None:
        self._driver, self._database = driver, SimDatabase(VirtualTime())
        access = StoreAccess(self._database, FaultlessHost(self._database.time))
        self._database.rejects = lambda row: row.get("name") == "別名　一郎"
        self._sink = PostgresSink(DOMAIN, access.connect, CODING, None, access.pause)

    def apply_changes(self) -> None:
        """Apply all that is new on the domain's topic."""
        for number, start in self._sink.open(range(self._driver.log.partitions)).items():
            records = self._driver.log.records.get((domain_topic(DOMAIN.id), number), [])
            next_offsets = {number: len(records)}
            self._sink.put(batch_of(CODING.codec, DOMAIN.event, records[start:], next_offsets))
        self._sink.flush()

    def obey_withdrawals(self) -> None:
        """Obey all withdrawals, from the first on."""
        for number in range(self._driver.log.partitions):
            records = self._driver.log.records.get((withdrawal_topic(DOMAIN.id), number), [])
            self._sink.withdraw(batch_of(CODING.codec, "withdrawal", records, {number: len(records)}))

    def addresses(self) -> list[str | None]:
        """Return the addresses that the store shows."""
        return [row["address"] for row in self._database.table("person").values()]

    def known_addresses(self) -> list[str]:
        """Return the addresses that the history shows."""
        rows = self._database.table("person_history").values()
        return [row["address"] for row in rows if row["address"] is not None]

    def dead_letters(self) -> int:
        """Return the number of open dead letters."""
        return len(self._sink.open_dead_letters)


def test_a_withdrawal_passes_a_dead_letter_of_the_sink() -> None:
    """The name that the store rejects blocks everything after it, but not the withdrawal; nothing brings it back."""
    driver = new_driver()
    store = Store(driver)
    for each in received(RENAMED):
        submit(driver, each)
        driver.run()
        store.apply_changes()
    assert store.dead_letters() == 1
    assert store.addresses() == ["住所A"], "the change that withholds is blocked"
    store.obey_withdrawals()
    assert store.addresses() == [None]
    store.apply_changes()
    assert store.addresses() == [None]


def test_a_history_shows_no_address_of_anybody_who_was_protected() -> None:
    """A withdrawal takes out what it had; once the measure has ended only the row shows one again."""
    driver = new_driver()
    store = Store(driver)
    shown = []
    for each in received((PROTECTED[0], PROTECTED[2], notice("131041", "9", "支援措置終了", "2026-03-01"))):
        submit(driver, each)
        driver.run()
        store.obey_withdrawals()
        shown.append(store.known_addresses())
        store.apply_changes()
        shown.append(store.known_addresses())
    assert shown == [[], ["住所A"], [], [], [], []]
    assert store.addresses() == ["住所A"]


def test_a_withdrawal_passes_a_dead_letter_of_conversion() -> None:
    """All changes after the first are dead letters or blocked in conversion; the withdrawal is published."""
    conversion = FailingConversion()
    conversion.healed = True
    driver = new_driver(steps_of_mesh=failing_steps(conversion))
    store = Store(driver)
    first, *others = received(PROTECTED)
    submit(driver, first)
    driver.run()
    conversion.healed = False
    submit(driver, *others)
    driver.run()
    store.apply_changes()
    assert store.addresses() == ["住所A"]
    store.obey_withdrawals()
    assert store.addresses() == [None]


def test_the_address_is_shown_again_after_the_measure() -> None:
    """Also if the withdrawal is obeyed once more, late."""
    driver = new_driver()
    store = Store(driver)
    submissions: list[Submitted] = [
        RENAMED[0],
        RENAMED[2],
        notice("131041", "8", "支援措置終了", "2026-03-01"),
    ]
    for each in received(submissions):
        submit(driver, each)
        driver.run()
        store.apply_changes()
        store.obey_withdrawals()
    assert store.addresses() == ["住所A"]
