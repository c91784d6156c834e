"""On real servers: what `wait`, `up`, `rejected`, `cases` and `local env` say of a running mesh is so."""

from __future__ import annotations

import json
import shlex
from typing import Any

import psycopg
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from psycopg import sql

from infra.local.kafka_server import ADMIN
from infra.monitoring.groups import describe_groups
from infra.run import background
from infra.run.slots import groups_of, slots
from schemas.systems import DOMAINS
from schemas.topics import NOTICE as NOTICE_TOPIC
from schemas.topics import domain_topic, group, sink_step, transactional_id
from tests.attacks.test_hostile_text import FORBIDDEN, HOSTILE
from tests.integration.city.test_agencies import NOTICE, connection, exports, publish
from tests.integration.cluster import IntegrationCluster, wait_until
from tests.samples import SMALL_CITY

pytestmark = [pytest.mark.integration, pytest.mark.proof]

DOMAIN = DOMAINS["local-tax"]
BEYOND = 1_000
LOGIN_TIMEOUT_S = 10.0
MOVE_OFFSET = (
    "UPDATE {} SET next_offset = next_offset + %s WHERE topic = %s AND partition = %s RETURNING next_offset"
)
MOST_READ = "SELECT partition FROM {} WHERE topic = %s ORDER BY next_offset DESC LIMIT 1"


def test_rejections_with_hostile_text_are_listed(cluster: IntegrationCluster) -> None:
    """The file's name is markup and escape sequences: the list shows it, and `cases show` says what happened."""
    cluster.start_empty()
    notice = {**NOTICE, "reason": "引越", "file": HOSTILE, "line": 1}
    publish(exports(cluster, "juki.131130"), notice)
    cluster.wait_idle()
    listed = cluster.mesh("rejected", "list")
    assert listed.returncode == 0, listed.stderr
    assert str(notice["notice"]) in listed.stdout
    (row,) = map(json.loads, cluster.mesh("rejected", "list", "--json").stdout.splitlines())
    shown = cluster.mesh("rejected", "show", row["id"])
    case = cluster.mesh("cases", "show", "131130", notice["notice"])
    for output in (listed.stdout, shown.stdout, case.stderr):
        assert not [character for character in FORBIDDEN if character in output]
    assert case.returncode == 2
    assert f"was rejected ({row['code']})" in case.stderr
    assert row["id"] in case.stderr


def test_every_login_that_is_printed_works(cluster: IntegrationCluster) -> None:
    """For each name with a password: at the database and at the brokers, or it is not printed."""
    cluster.ensure_up()
    works = 0
    for user in cluster.environment.secrets().names():
        process = cluster.mesh("local", "env", "--user", user)
        words = [word for line in process.stdout.splitlines() for word in shlex.split(line)]
        variables = dict(word.split("=", 1) for word in words if "=" in word)
        if "MESH_DATABASE_URL" in variables:
            psycopg.connect(variables["MESH_DATABASE_URL"]).close()
            works += 1
        if "MESH_KAFKA_SASL_PASSWORD" in variables:
            assert _logs_in(connection(variables)), user
            works += 1
    assert works > 2 * len(DOMAINS)


def _logs_in(properties: dict[str, Any]) -> bool:
    """Return whether the brokers accept the user; without a permission it sees no topic."""
    try:
        return AdminClient({**properties, "log_level": 0}).list_topics(timeout=LOGIN_TIMEOUT_S) is not None
    except KafkaException:
        return False


def test_up_scales_the_workers_of_a_running_mesh(cluster: IntegrationCluster) -> None:
    """Up and down, while it works; who is stopped leaves its groups, and nothing is lost or applied twice."""
    cluster.start_empty()
    cluster.ingest(SMALL_CITY / "juki_131041.csv")
    up = cluster.mesh("up", "--workers", 2)
    assert up.returncode == 0, up.stderr
    second = [slot for slot in slots((), 2) if slot.number == 1]
    assert f"started: {', '.join(slot.name for slot in second)}" in up.stdout
    assert _workers(cluster) == {slot.name for slot in slots((), 2)}
    assert _members(cluster) == {transactional_id(step, number) for step in _steps() for number in (0, 1)}
    cluster.wait_idle()
    assert cluster.mesh("up").stdout.startswith("11 workers run already; none was started or stopped")
    rows = len(cluster.table("local_tax", "person"))
    cluster.ingest(SMALL_CITY / "juki_131041.csv")
    down = cluster.mesh("up", "--workers", 1)
    assert down.returncode == 0, down.stderr
    assert f"stopped: {', '.join(slot.name for slot in second)}" in down.stdout
    assert _workers(cluster) == {slot.name for slot in slots((), 1)}
    assert _members(cluster) == {transactional_id(step, 0) for step in _steps()}
    cluster.wait_idle()
    assert len(cluster.table("local_tax", "person")) == rows


def _steps() -> list[str]:
    return ["intake", "household", "fan-out", "conversion", *map(sink_step, DOMAINS)]


def _workers(cluster: IntegrationCluster, state: str = "running") -> set[str]:
    """Return the workers that `mesh status` shows in this state."""
    status = json.loads(cluster.mesh("status", "--json").stdout)
    return {f"{w['step']}.{w['slot']}" for w in status["workers"] if w["state"] == state}


def _members(cluster: IntegrationCluster) -> set[str]:
    """Return the members of all steps' groups but the tracker's."""
    admin = AdminClient({**cluster.environment.kafka(ADMIN), "log_level": "2"})
    groups = describe_groups(admin, groups_of(slot for slot in slots((), 1) if slot.step != "tracker"))
    return {name for described in groups.values() for name in described.members}


def test_wait_fails_where_the_offset_of_a_group_lies_beyond_the_end(cluster: IntegrationCluster) -> None:
    """Although nothing seems to wait before the step: its worker was given up, and the text names it."""
    cluster.reset()
    moved = ConsumerGroupTopicPartitions(group("household"), [TopicPartition(NOTICE_TOPIC, 0, BEYOND)])
    admin = AdminClient({**cluster.environment.kafka(ADMIN), "log_level": "2"})
    admin.alter_consumer_group_offsets([moved])[moved.group_id].result(LOGIN_TIMEOUT_S)
    background.start(cluster.installation, ("intake", "household"), 1)
    process = cluster.mesh("wait", "--idle", "--timeout", 60)
    assert process.returncode == 1, process.stdout
    assert f"the offset {BEYOND} in its group lies beyond the end 0 of {NOTICE_TOPIC}/0" in process.stderr
    assert "household" in process.stderr
    assert "idle:" not in process.stdout


def test_wait_fails_where_a_stored_offset_lies_beyond_the_end(cluster: IntegrationCluster) -> None:
    """It names worker and offset, the sink logs what to do, `status` shows it, and doing it mends the mesh."""
    cluster.start_empty()
    cluster.ingest(SMALL_CITY / "juki_131041.csv")
    cluster.wait_idle()
    codes = {row["code"] for row in cluster.table("local_tax", "person")}
    background.stop(cluster.installation)
    partition, offset = _move_an_offset(cluster)
    background.start(cluster.installation, (), 1)
    wait_until("the sink is given up", lambda: "sink.local-tax.0" in _workers(cluster, "given-up"))
    process = cluster.mesh("wait", "--idle", "--timeout", 60)
    assert process.returncode == 1, process.stdout
    for part in (
        "sink.local-tax.0 (exit code 15, LOST_RECORDS) was given up",
        f"the offset {offset} in its store lies beyond the end",
        f"{domain_topic(DOMAIN.id)}/{partition}",
        "mesh replay --yes",
    ):
        assert part in process.stderr
    log = (cluster.installation.logs_folder / "sink.0.log").read_text()
    (line,) = [json.loads(line) for line in log.splitlines() if "sink.offset-beyond-end" in line]
    assert (line["partition"], line["offset"]) == (partition, offset)
    assert line["offset_end"] < offset
    assert "mesh replay" in line["action"]
    assert cluster.mesh("status").returncode == 1
    replay = cluster.mesh("replay", "--yes")
    assert replay.returncode == 0, replay.stderr
    cluster.wait_idle()
    assert {row["code"] for row in cluster.table("local_tax", "person")} == codes


def _move_an_offset(cluster: IntegrationCluster) -> tuple[int, int]:
    """Move a stored offset beyond the end of its log, as if the log were an older one; return partition and offset."""
    table = sql.Identifier(DOMAIN.schema_name, "sink_offset")
    with psycopg.connect(cluster.environment.dsn("postgres"), autocommit=True) as store:
        topic = domain_topic(DOMAIN.id)
        ((partition,),) = store.execute(sql.SQL(MOST_READ).format(table), [topic]).fetchall()
        moved = store.execute(sql.SQL(MOVE_OFFSET).format(table), [BEYOND, topic, partition])
        ((offset,),) = moved.fetchall()
    return partition, offset
