"""Java's clients read a domain's topic with the files of `mesh client`: Kafka Connect, and Kafka's own consumer."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.java import java
from tests.integration.city.test_agencies import PERSON
from tests.integration.city.test_client_files import DOMAIN, TOPIC, write_files
from tests.integration.cluster import IntegrationCluster, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.proof]

CONNECT = "org.apache.kafka.connect.cli.ConnectStandalone"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
#: Not at Maven Central. Text of the record's bytes is enough to see whose record it is.
AVRO_CONVERTER = "io.confluent.connect.avro.AvroConverter"
STRING_CONVERTER = "org.apache.kafka.connect.storage.StringConverter"
GROUP = "consumer.override.group.id="
NAME = str(PERSON["name"])
TIMEOUT_S = 60.0


@contextmanager
def connect(jars: str, folder: Path) -> Iterator[Path]:
    """Run a standalone worker with the files in a folder; yield its log."""
    worker, log = folder / "worker.properties", folder / "log"
    text = worker.read_text().replace(AVRO_CONVERTER, STRING_CONVERTER).replace(":8083", ":0")
    assert STRING_CONVERTER in text.partition("value.converter=")[2].partition("\n")[0]
    worker.write_text(text)
    command = [java(), "-Xmx256m", "-cp", jars, CONNECT, str(worker), str(folder / "file-sink.properties")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
        try:
            yield log
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def pause() -> bool:
    """Wait a moment; return that nothing was found."""
    time.sleep(0.2)
    return False


def content(file: Path) -> str:
    """Return the text of a file, or nothing while there is none."""
    return file.read_text("utf-8", "replace") if file.is_file() else ""


def test_kafka_connects_file_sink_writes_a_domains_records(
    notice_applied: IntegrationCluster, jars: str, tmp_path: Path
) -> None:
    """By a group of the domain's own, and without the record of the aborted transaction."""
    folder = tmp_path / "connect"
    write_files(notice_applied, "connect", DOMAIN, folder)
    written = folder / f"{TOPIC}.txt"
    with connect(jars, folder):
        wait_until("a record in the file", lambda: NAME in content(written) or pause(), TIMEOUT_S)
    assert content(written).count(NAME) == 1
    assert "aborted" not in content(written)


def test_kafka_connects_own_group_is_denied(
    notice_applied: IntegrationCluster, jars: str, tmp_path: Path
) -> None:
    """That is why the connector's file sets a group."""
    folder = tmp_path / "connect"
    write_files(notice_applied, "connect", DOMAIN, folder)
    connector = folder / "file-sink.properties"
    lines = connector.read_text().splitlines()
    connector.write_text("\n".join(line for line in lines if not line.startswith(GROUP)))
    denied = f"Not authorized to access group: connect-{DOMAIN}-file"
    with connect(jars, folder) as log:
        wait_until("the group is denied", lambda: denied in content(log) or pause(), TIMEOUT_S)
    assert content(folder / f"{TOPIC}.txt") == ""


def test_kafkas_console_consumer_reads_a_domains_topic(
    notice_applied: IntegrationCluster, jars: str, tmp_path: Path
) -> None:
    """Login, TLS and group are those of the file; this program takes the isolation level from its command line only."""
    folder = tmp_path / "java"
    write_files(notice_applied, "java", DOMAIN, folder)
    settings = folder / "client.properties"
    (bootstrap,) = (
        line.partition("=")[2] for line in settings.read_text().splitlines() if line.startswith("bootstrap")
    )
    command = [
        java(),
        "-Xmx256m",
        "-cp",
        jars,
        CONSOLE_CONSUMER,
        "--bootstrap-server",
        bootstrap,
        "--topic",
        TOPIC,
    ]
    options = [
        "--isolation-level",
        "read_committed",
        "--timeout-ms",
        "8000",
        "--command-config",
        str(settings),
    ]
    process = subprocess.run([*command, *options], capture_output=True, timeout=TIMEOUT_S, check=False)
    assert process.stdout.count(NAME.encode()) == 1, process.stderr[-2_000:]
    assert b"aborted" not in process.stdout
