"""The attacks on confirmed residence and protection through real servers, and the same after a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.store_contents import digest
from schemas.topics import AUDITOR
from tests.integration.cluster import IntegrationCluster

HOME, NEXT, STRANGER = "131041", "141097", "131130"
#: Resident record codes of persons who stay, are under way, are dead, and are protected.
STAYS, UNDER_WAY, DEAD, PROTECTED = ("43000000011", "43000000022", "43000000033", "43000000044")
PERSONS = (STAYS, UNDER_WAY, DEAD, PROTECTED)
SECRET = "東京都新宿区内緒町1番1号"


class Registers:
    """Writes the notices of municipalities as files, each once."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def notice(self, municipality: str, reason: str, day: str, code: str, **others: Any) -> Path:
        """Return a file with one notice about one person."""
        self.count += 1
        person: dict[str, Any] = {"code": code}
        if reason in ("初期登録", "転入"):
            number = PERSONS.index(code) + 1
            person |= {
                "local_number": f"{number:013}", "name": "試験　花子", "kana": "シケン　ハナコ",
                "birth_date": f"1990-01-0{number}", "sex": "女", "relationship": "世帯主",
                "household": f"{number:012}", "address": f"{municipality}{SECRET}", "protected": False,
            }  # fmt: skip
        line: dict[str, Any] = {
            "notice": f"{municipality[:5]}-{self.count}",
            "municipality": municipality,
            "reason": reason,
        }
        line |= {"effective_on": f"2026-{day}", "recorded_on": f"2026-{day}", "persons": [person], **others}
        path = self.folder / f"notices_{municipality}_{self.count}.jsonl"
        path.write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def others(self) -> list[Path]:
        """Return the files of all persons' enrolments and accounts."""
        enrolments = self.folder / "enrolments_1.csv"
        rows = ["業務,市区町村コード,住民票コード,開始日"]
        rows += [f"care,{HOME},{code},2026-02-02" for code in PERSONS]
        rows += [f"{domain},,{code},2026-02-02" for code in PERSONS for domain in ("pension", "nta", "card")]
        enrolments.write_text("\r\n".join([*rows, ""]), encoding="utf-8-sig", newline="")
        events = self.folder / "events_portal_1.jsonl"
        accounts = [
            {"account": {
                "event": "REGISTERED", "account": f"account-{index}", "code": code, "effective_on": "2026-02-03",
                "holder_kana": "シケン ハナコ", "bank": "0001", "branch": "001", "type": "普通",
                "number": f"{index:07}",
            }}
            for index, code in enumerate(PERSONS)
        ]  # fmt: skip
        events.write_text(
            "".join(json.dumps(a, ensure_ascii=False) + "\n" for a in accounts), encoding="utf-8"
        )
        return [enrolments, events]


def attack(registers: Registers) -> Iterator[list[Path]]:
    """Yield files in the order in which they are received: true notices first, then the stranger's."""
    yield [registers.notice(HOME, "初期登録", "02-01", code) for code in PERSONS]
    yield registers.others()
    yield [
        registers.notice(HOME, "転出", "03-01", UNDER_WAY, moved_to=NEXT),
        registers.notice(HOME, "死亡", "03-01", DEAD),
        registers.notice(HOME, "支援措置開始", "03-01", PROTECTED),
    ]
    yield [
        registers.notice(STRANGER, "転入", day, code, moved_from=HOME)
        for code, day in ((STAYS, "03-05"), (UNDER_WAY, "01-05"), (DEAD, "03-05"), (PROTECTED, "03-05"))
    ]
    yield [
        registers.notice(STRANGER, "死亡", "03-06", STAYS),
        registers.notice(STRANGER, "支援措置終了", "03-06", PROTECTED),
    ]


def accounts_in(cluster: IntegrationCluster, schema: str) -> set[tuple[str, str]]:
    """Return municipality and number of each account of a domain."""
    return {(row["municipality"], row["number"]) for row in cluster.table(schema, "account")}


def open_rows(cluster: IntegrationCluster, schema: str) -> list[dict[str, Any]]:
    """Return the rows of a domain's persons that aren't closed."""
    return [row for row in cluster.table(schema, "person") if row["status"] != "closed"]


def assert_defended(cluster: IntegrationCluster) -> None:
    """Check that the stranger has its own rows and nothing else, and that nobody's national rows show its word."""
    assert {municipality for municipality, _ in accounts_in(cluster, "local_tax")} == {HOME}
    assert not [row for row in cluster.table("care", "person") if row["municipality"] == STRANGER]
    strangers = [row for row in open_rows(cluster, "local_tax") if row["municipality"] == STRANGER]
    assert len(strangers) == len(PERSONS) - 1
    for schema in ("pension", "nta", "card"):
        # All but the dead one; the protected one without an address, the others with that of their home.
        addresses = sorted(str(row["address"]) for row in open_rows(cluster, schema))
        assert addresses == [HOME + SECRET, HOME + SECRET, "None"], schema
    kinds = sorted(row["kind"] for row in cluster.conflicts())
    assert kinds == [
        "DEATH_UNCONFIRMED",
        "PROTECTION_END_UNCONFIRMED",
        "REGISTERED_TWICE",
        "REGISTRATION_UNCONFIRMED",
        "REGISTRATION_UNCONFIRMED",
    ]
    assert not cluster.rejections()
    assert not cluster.dead_letters()


@pytest.mark.integration
@pytest.mark.proof
@pytest.mark.timeout(600)
def test_a_stranger_gains_nothing_before_and_after_a_replay(
    cluster: IntegrationCluster, tmp_path: Path
) -> None:
    """Then a clerk settles one conflict, and takes it back; what was settled holds in a replay."""
    cluster.start_empty(workers=1)
    for files in attack(Registers(tmp_path)):
        cluster.ingest(*files)
        cluster.wait_idle()
    assert_defended(cluster)
    conflict = next(
        row["id"]
        for row in cluster.conflicts()
        if row["kind"] == "REGISTRATION_UNCONFIRMED" and str(row["effective_on"]) == "2026-01-05"
    )
    decided = cluster.mesh(
        "conflicts", "settle", conflict, "--registration", STRANGER, "--reason", "seen at the window"
    )
    assert decided.returncode == 0, decided.stderr
    cluster.wait_idle()
    settled = digest(cluster.environment.dsn(AUDITOR))
    assert (STRANGER, "0000001") in accounts_in(cluster, "local_tax")
    assert sum(row["address"] == STRANGER + SECRET for row in open_rows(cluster, "pension")) == 1
    replayed = cluster.mesh("replay", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    assert digest(cluster.environment.dsn(AUDITOR)) == settled
    taken_back = cluster.mesh("conflicts", "settle", conflict, "--take-back", "--reason", "wrong person")
    assert taken_back.returncode == 0, taken_back.stderr
    cluster.wait_idle()
    assert_defended(cluster)
