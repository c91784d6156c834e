"""The rules of the high level with system `relief`; `tests/attacks/test_high_level.py` runs them with its package."""

from __future__ import annotations

from typing import Any

import pytest

from processors.fan_out import FanOutProcessor, adoption, partition_clock
from processors.fan_out.declared import Declared
from processors.fan_out.person_entities import PersonEntities
from schemas.declaration_digests import declaration_digests
from schemas.topics import command_topic, dlq_topic
from tests.high_level.relief_mesh import HOLDER, OTHER, ReliefMesh, mesh_code, records, registered
from tests.unit.processors.submissions import high_sealer

pytestmark = pytest.mark.unit

ORIGIN = {"topic": "in.operator", "partition": 0, "offset": 0}


def test_the_domain_has_what_holds_and_nothing_else() -> None:
    """Rows come with the relief, change with it and with the register, and are deleted at its end."""
    mesh = registered()
    mesh.relief(1, HOLDER)
    mesh.run()
    rows = mesh.stored()
    assert rows["relief", "relief-file-1"]["kind"] == "living-aid"
    assert rows["holder", ""]["address"] == "東京都新宿区高田馬場2丁目2番2号"
    mesh.notice(1001, "転居", "2026-08-01", code=HOLDER, address="東京都新宿区新しい町1番1号")
    mesh.run()
    assert mesh.stored()["holder", ""]["address"] == "東京都新宿区新しい町1番1号"
    mesh.relief(2, HOLDER, "ReliefEnded", effective_on="2026-08-20", recorded_on="2026-08-20")
    mesh.run()
    assert mesh.stored() == {}
    assert {row["op"] for row in mesh.domain_records()} == {"UPSERT", "DELETE"}
    revisions = [row["revision"] for row in mesh.domain_records()]
    assert revisions == list(range(1, len(revisions) + 1))


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_what_follows_by_itself_comes_on_its_day(seed: int | None) -> None:
    """Relief expires once its day has come, and ends with a death; a cancelled death brings it back."""
    mesh = registered(seed=seed)
    mesh.relief(1, HOLDER, until_on="2026-09-10")
    mesh.run()
    assert mesh.stored()
    mesh.begin_day("2026-09-10", 9)
    mesh.run()
    assert mesh.stored()
    mesh.begin_day("2026-09-11", 10)
    mesh.run()
    assert mesh.stored() == {}
    mesh.relief(2, HOLDER, "Cancelled", file_number=None, cancels="relief-number-1")
    mesh.relief(3, HOLDER)
    mesh.run()
    assert mesh.stored()
    mesh.notice(1001, "死亡", "2026-09-01", code=HOLDER)
    mesh.run()
    assert mesh.stored() == {}


def test_a_protected_person_has_no_address_there_either() -> None:
    """The measure withholds it, also in what was made before and is converted afterwards."""
    mesh = registered()
    mesh.relief(1, HOLDER)
    mesh.run()
    mesh.notice(1001, "支援措置開始", "2026-08-01", code=HOLDER)
    mesh.run()
    assert mesh.stored()["holder", ""]["address"] is None


def test_submissions_are_judged_as_others_are() -> None:
    """A repeated number is a duplicate or taken; what has no effect is a conflict, on the system's own sealed topic."""
    mesh = registered().run()
    mesh.relief(1, HOLDER)
    mesh.relief(1, HOLDER)
    mesh.relief(1, HOLDER, kind="housing-aid")
    mesh.relief(2, HOLDER, "Cancelled", file_number=None, cancels="relief-number-9")
    mesh.relief(3, HOLDER)
    mesh.run()
    codes = sorted(row["code"] for row in mesh.driver.rows("rejected.relief"))
    assert codes == ["CANCELS_UNKNOWN", "DUPLICATE", "NUMBER_TAKEN"]
    (conflict,) = mesh.conflicts()
    assert (conflict["person"], conflict["number"]) == (mesh_code(HOLDER), "relief-number-3")
    assert (conflict["kind"], conflict["status"]) == ("EVENT_WITHOUT_EFFECT", "OPEN")
    mesh.relief(4, HOLDER, "Cancelled", file_number=None, cancels="relief-number-3")
    mesh.run()
    assert [each["status"] for each in mesh.conflicts()] == ["OPEN", "WITHDRAWN"]
    assert "conflict" not in mesh.driver.topics()


def test_disclosures_say_what_was_received() -> None:
    """With columns and basis, for who has the keys."""
    mesh = registered()
    mesh.relief(1, HOLDER)
    mesh.run()
    fields = {row["entity"]: row["fields"] for row in mesh.disclosures()}
    assert fields == {"relief": ["file_number", "kind"], "holder": ["name", "address"]}
    assert all(row["legal_basis"] for row in mesh.disclosures())


def test_an_error_about_one_person_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a day, for one of whom it fails a sealed record is written, which is retried like any other."""
    publish, failing = PersonEntities.publish_high, [mesh_code(HOLDER)]

    def publish_or_fail(self: PersonEntities, person: str, *arguments: Any) -> Any:
        if person in failing:
            raise RuntimeError("broken")
        return publish(self, person, *arguments)

    mesh = registered()
    mesh.relief(1, HOLDER, until_on="2026-09-10")
    mesh.relief(2, OTHER, until_on="2026-09-10", file_number="relief-file-2")
    mesh.run()
    monkeypatch.setattr(PersonEntities, "publish_high", publish_or_fail)
    mesh.begin_day("2026-09-15", 14)
    mesh.driver.run()
    deleted = {row["code"] for row in mesh.domain_records() if row["op"] == "DELETE"}
    assert len(deleted) == 1
    (letter,) = mesh.driver.dead_letters("fan-out")
    assert mesh_code(HOLDER).encode() not in letter["value"] + (letter["key"] or b"")
    failing.clear()
    mesh.driver.send_command("fan-out", "RETRY", letter["digest"])
    mesh.driver.run()
    assert len({row["code"] for row in mesh.domain_records() if row["op"] == "DELETE"}) == 2
    assert mesh.driver.dlq_entries("fan-out") == []
    for topic in (dlq_topic("fan-out"), "state.fan-out.dlq", command_topic("fan-out")):
        assert not any(mesh_code(HOLDER).encode() in (r.value_bytes or b"") for r in records(mesh, topic))


def test_many_persons_are_worked_off_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a day, and when declarations are adopted; nobody is left out, and no rows come twice."""
    monkeypatch.setattr(partition_clock, "PORTION", 2)
    monkeypatch.setattr(adoption, "PORTION", 2)
    mesh = ReliefMesh()
    codes = [f"4299{number:07}" for number in range(30)]
    for number, code in enumerate(codes):
        mesh.notice(number + 1, code=code)
        until = "2026-09-10" if number % 3 else "2026-12-31"
        mesh.relief(number, code, file_number=f"relief-file-{number}", until_on=until)
    mesh.run()
    mesh.driver.restart("fan-out")
    mesh.begin_day("2026-09-11", 10)
    mesh.begin_day("2026-09-15", 14)
    mesh.run()
    deleted = [row["code"] for row in mesh.domain_records() if row["op"] == "DELETE"]
    assert (len(deleted), len(set(deleted))) == (40, 20)
    mesh.begin_day("2027-01-01", 122)
    mesh.run()
    assert len([row for row in mesh.domain_records() if row["op"] == "DELETE"]) == 60
    before = len(mesh.domain_records())
    mesh.install(FanOutProcessor(1, sealer=high_sealer()))
    adopt(mesh, 1)
    mesh.run()
    assert len(mesh.domain_records()) == before


def test_a_worker_that_starts_again_knows_what_was_known() -> None:
    """The state of the high level is restored as any other."""
    mesh = registered().run()
    mesh.relief(1, HOLDER)
    mesh.run()
    mesh.driver.restart("fan-out")
    mesh.relief(1, HOLDER)
    mesh.relief(2, HOLDER, "ReliefEnded")
    mesh.run()
    assert [row["code"] for row in mesh.driver.rows("rejected.relief")] == ["DUPLICATE"]
    assert mesh.stored() == {}
    assert [row["revision"] for row in mesh.domain_records()] == [1, 2, 3, 4]


def without_readings() -> ReliefMesh:
    """Return a mesh with two persons who get relief, and one who doesn't; the domain doesn't read anything yet."""
    none: dict[str, tuple[Any, ...]] = dict.fromkeys(Declared().high_readings, ())
    unknown = "42990000033"
    digests = {**declaration_digests(), "relief": "before", "registration": "before"}
    former = FanOutProcessor(1, Declared(high_readings=none, digests=digests), high_sealer())
    mesh = ReliefMesh(fan_out=former)
    adopt(mesh, 1)
    mesh.notice(1, code=HOLDER)
    mesh.notice(2, code=OTHER, name="別人　二郎", kana="ベツジン　ジロウ")
    mesh.relief(1, HOLDER)
    mesh.relief(2, unknown, file_number="relief-file-2")
    mesh.run()
    assert mesh.domain_records() == []
    return mesh


class FailingTwice(dict[str, Any]):
    """Readings that can't be looked up the first two times."""

    failures = 0

    def __getitem__(self, entity: str) -> Any:
        """Return the readings of an entity."""
        if self.failures < 2:
            self.failures += 1
            raise RuntimeError
        return super().__getitem__(entity)


def test_somebody_who_failed_adopts_later() -> None:
    """The record of that person comes after the partition has adopted everything: it publishes all the same."""
    mesh = without_readings()
    readings = FailingTwice(Declared().high_readings)
    mesh.install(FanOutProcessor(2, Declared(high_readings=readings), high_sealer()))
    adopt(mesh, 2)
    mesh.run()
    assert readings.failures == 2
    received = [(row["entity"], row["op"]) for row in mesh.domain_records()]
    assert sorted(received) == [("holder", "UPSERT"), ("relief", "UPSERT")]


def test_a_new_reading_reaches_who_is_known_already() -> None:
    """Also somebody of whom nothing but the relief is known; and nobody else."""
    mesh = without_readings()
    mesh.install(FanOutProcessor(2, sealer=high_sealer()))
    adopt(mesh, 2)
    mesh.run()
    received = [(row["entity"], row["op"]) for row in mesh.domain_records()]
    assert sorted(received) == [("holder", "UPSERT"), ("relief", "UPSERT")]


def adopt(mesh: ReliefMesh, number: int) -> None:
    """Let fan-out adopt the declarations of a number."""
    mesh.submit("in.operator", "operator-command", {"command": "ADOPT", "origin": ORIGIN, "adoption": number})
