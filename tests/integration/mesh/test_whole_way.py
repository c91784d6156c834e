"""A city, from its files to every domain's store, through real servers and workers that die on the way."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from connectors.enrolments.source import EnrolmentsSource
from connectors.events.source import EventsSource
from connectors.juki_cs.source import JukiCsSource
from connectors.notices.source import NoticesSource
from connectors.source import Source
from infra.cli import app
from infra.ingest.files import take_in
from infra.listing import kept, rejected
from infra.local.kafka import AUDITOR
from infra.look.waiting import wait_idle
from infra.reference import compare, expected
from infra.replay.steps import replay
from infra.run.supervisor import supervised
from infra.schema_ids import codec
from infra.stores import holdings
from infra.synth.writing import write_city
from tests.integration.mesh.conftest import SAMPLES, Mesh

#: Minutes each: `make prove` runs them.
pytestmark = pytest.mark.proof

TIMEOUT_S = 120.0
BAD = SAMPLES / "bad" / "juki_131041_bad.csv"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the folder ../shared/samples is not there")


def source(path: Path) -> Source:
    """The source of a file of a city."""
    if path.name == "enrolments.csv":
        return EnrolmentsSource(path)
    if path.name.startswith("events_"):
        return EventsSource("portal", path)
    return JukiCsSource(path) if path.suffix == ".csv" else NoticesSource(path)


def hand_over(mesh: Mesh, files: Iterable[Path]) -> None:
    """One after the other."""
    for path in files:
        take_in(mesh.environment, mesh.installation, {path.name: source(path)})


def files_of(city: Path) -> list[Path]:
    """A city's files, enrolments first."""
    return sorted(path for path in city.iterdir() if path.name != "expected.json")


def settle(mesh: Mesh) -> None:
    """All that was accepted is applied everywhere."""
    wait_idle(mesh.environment, mesh.installation, timeout_s=TIMEOUT_S)


def assert_holds(mesh: Mesh, files: list[Path]) -> None:
    """Every row, household and message as the reference model has it; no dead letters."""
    held = holdings(mesh.environment.dsn(AUDITOR))
    assert held.rows
    # Accounts have tables of their own, which the reference model doesn't know.
    known = [path for path in files if not path.name.startswith("events_")]
    assert compare(expected(known), held) == []
    assert kept.dead_letters(mesh.environment, codec(mesh.environment, mesh.installation)) == []


def refused_numbers(mesh: Mesh) -> list[str]:
    """Numbers of the notices refused."""
    shared = codec(mesh.environment, mesh.installation)
    return sorted(row["notice"] for row in rejected.listed(mesh.environment, shared))


def kill(mesh: Mesh, step: str) -> int:
    """kill -9 of a step's first worker; its pid."""
    found = supervised(mesh.installation)
    assert found is not None
    pid = next(worker.pid for worker in found.workers if worker.step == step and worker.slot == 0)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], TIMEOUT_S)
    return pid


@needs_samples
def test_a_city_by_one_worker_a_step_and_its_replay(mesh: Mesh) -> None:
    """The stores are what expected.json says; derived again from what was handed over, they are the same."""
    city = SAMPLES / "city"
    answer = json.loads((city / "expected.json").read_text(encoding="utf-8"))
    mesh.begin_anew(workers=1)
    hand_over(mesh, files_of(city))
    settle(mesh)
    assert_holds(mesh, files_of(city))
    assert refused_numbers(mesh) == sorted(answer["refused"])
    again = replay(mesh.environment, mesh.installation, timeout_s=TIMEOUT_S)
    assert again.before == again.after
    assert_holds(mesh, files_of(city))
    assert refused_numbers(mesh) == sorted(answer["refused"])


@needs_samples
def test_a_city_backwards_twice_by_four_workers_that_are_killed(mesh: Mesh) -> None:
    """Neither the order of files, nor a second hand-over, nor a death in the midst changes anything."""
    city = SAMPLES / "city-2"
    answer = json.loads((city / "expected.json").read_text(encoding="utf-8"))
    files = files_of(city)
    mesh.begin_anew(workers=4)
    steps = iter(("intake", "household", "fan-out", "conversion", "sink", "tracker"))
    for path in reversed(files):
        hand_over(mesh, [path])
        kill(mesh, next(steps))
    hand_over(mesh, files)
    settle(mesh)
    assert_holds(mesh, files)
    assert refused_numbers(mesh) == sorted(answer["refused"])


def test_a_synthetic_city_and_bad_files(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A city that nobody has seen before; files that are none, said before anything is published."""
    city = tmp_path_factory.mktemp("city")
    write_city(city, 300, 20, 7)
    files = sorted(city.iterdir())
    mesh.begin_anew(workers=2)
    hand_over(mesh, files)
    bad = city / "juki_131041_2.csv"
    for content in (b"", os.urandom(4096), b"a,b,c\r\n1,2,3\r\n", files[0].read_bytes()):
        bad.write_bytes(content)
        good = next(path for path in files if path.name.startswith("juki_"))
        result = CliRunner().invoke(app, ["ingest", "juki-cs", str(good), str(bad)])
        assert result.exit_code == 2, result.output
        assert "nothing was published" in result.stderr
    settle(mesh)
    assert_holds(mesh, files)


@needs_samples
def test_the_bad_file_is_refused_line_by_line(mesh: Mesh) -> None:
    """As the samples' README says: 1, 11 and 15 are good, the second 11 is a duplicate, the others are refused."""
    mesh.begin_anew(workers=1)
    hand_over(mesh, [BAD])
    settle(mesh)
    shared = codec(mesh.environment, mesh.installation)
    every = rejected.listed(mesh.environment, shared, duplicates=True)
    lines = sorted((row["line"], row["verdict"]) for row in every)
    refused = [3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16]
    assert [line for line, verdict in lines if verdict == "REFUSED"] == refused
    assert [line for line, verdict in lines if verdict == "DUPLICATE"] == [13]
    assert all(row["reason"] and row["source"] == BAD.name for row in every)
    rows = holdings(mesh.environment.dsn(AUDITOR)).rows
    assert {row["address"] for row in rows} == {"東京都新宿区四谷3丁目3番3号"}
    again = next(row["id"] for row in every if row["line"] == 8)
    rejected.resend(mesh.environment, shared, again)
    settle(mesh)
    later = rejected.listed(mesh.environment, shared)
    assert [row["line"] for row in later].count(8) == 2


def test_a_worker_that_was_killed_is_back(mesh: Mesh) -> None:
    """Within a few seconds on a busy machine, under another pid, with its partitions."""
    found = supervised(mesh.installation)
    if found is None:
        mesh.begin_anew(workers=1)
    before = kill(mesh, "household")
    deadline = time.monotonic() + 10.0
    while True:
        found = supervised(mesh.installation)
        assert found is not None
        now = next(w for w in found.workers if w.step == "household" and w.slot == 0)
        if now.pid not in (None, before):
            break
        assert time.monotonic() < deadline
    assert now.restarts >= 1
