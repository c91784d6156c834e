"""Defects are put into the real classes: what they replace is there, under the name that they replace it by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from infra.run import supervisor
from tests.chaos import checker
from tests.chaos.broken_supervisor import WORKER
from tests.chaos.defects import DEFECTS
from tests.chaos.faults import FAULTS, SEEDED
from tests.chaos.proxy import ROOT

#: What each defect changes, as a process of its own sees it before and after.
CHANGED = {
    "no-group-metadata": "streams.kafka_clients:KafkaClients.consumer",
    "no-rewind": "streams.assignment:Assignment.seek_to_committed",
    "producer-kept": "streams.transactions:Transactions.replace",
    "auto-commit": "streams.kafka_clients:consumer_properties",
    "offsets-after": "connectors.postgres.sink:PostgresSink.flush",
    "restored-uncommitted": "streams.kafka_clients:reader_properties",
    "revision-ignored": "connectors.postgres.merge:_UPSERT",
    "receipts-apart": "connectors.postgres.outbox:Outbox.add_receipts",
    "uncommitted-reads": "connectors.postgres.worker:consumer_properties",
}
PROGRAM = """
import importlib, json, sys
from operator import attrgetter
from tests.chaos.defects import DEFECTS
for defect, place in json.loads(sys.argv[1]).items():
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    before = attrgetter(name)(found)
    DEFECTS[defect].install()
    if before == attrgetter(name)(found):
        sys.exit(f"{defect} changes nothing")
"""


def test_a_defect_changes_what_is_there() -> None:
    """A renamed method would leave the worker right, and the checker with nothing to find."""
    assert DEFECTS.keys() == CHANGED.keys()
    command = [sys.executable, "-c", PROGRAM, json.dumps(CHANGED)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_worker_that_is_replaced_is_the_one_that_a_supervisor_starts() -> None:
    """By its name in the command line."""
    assert f'"-m", "{WORKER}"' in Path(supervisor.__file__).read_text("utf-8")


def test_faults_that_bring_a_defect_to_light_exist() -> None:
    """By their names."""
    assert {kind for defect in DEFECTS.values() for kind in defect.kinds} <= FAULTS.keys() | SEEDED.keys()


def test_anomalies_that_a_defect_must_show_are_the_checkers() -> None:
    """By the names that its table has."""
    told = checker.__doc__ or ""
    assert all(defect.shows for defect in DEFECTS.values())
    assert all(kind in told for defect in DEFECTS.values() for kind in defect.shows)
