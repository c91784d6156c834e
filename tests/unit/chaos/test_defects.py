"""Seeded defects replace what exists in the product, under the name by which they replace it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from infra.run import supervisor
from tests.chaos import checker
from tests.chaos.defects import DEFECTS
from tests.chaos.faults import FAULTS, SEEDED
from tests.chaos.processes import WORKER
from tests.chaos.proxy import ROOT

#: One name of the product that each defect replaces. `_UPSERT` is private: that defect is a change of its SQL.
REPLACED = {
    "no-group-metadata": "streams.kafka_clients:KafkaClients.consumer",
    "no-rewind": "streams.assignment:Assignment.seek_to_committed",
    "producer-reused": "streams.transactions:Transactions.replace",
    "auto-commit": "streams.kafka_clients:consumer_properties",
    "offsets-after": "connectors.postgres.sink:PostgresSink.flush",
    "restored-uncommitted": "streams.kafka_clients:reader_properties",
    "revision-ignored": "connectors.postgres.merge:_UPSERT",
    "receipts-apart": "connectors.postgres.outbox:Outbox.add_receipts",
    "uncommitted-reads": "connectors.postgres.worker:consumer_properties",
    "last-registration-confirmed": "processors.fan_out.person_notices:choose_confirmed",
    "protection-ended-by-anybody": "processors.fan_out.person_notices:_end_protection",
    "portion-forgotten": "processors.fan_out.partition_clock:PartitionClock.must_continue",
    "order-of-arrival": "processors.fan_out.known_histories:fold",
    "cancelled-counted": "processors.entities.entity_fold:_not_cancelled",
    "adoption-skips": "processors.fan_out.adoption:Adoption.next_portion",
}
#: Private members that defects call or set on real objects: without them a defective worker only fails.
USED = (
    "streams.assignment:Assignment._seek_to",
    "streams.transactions:Transactions._producer",
    "streams.processing:Processing.run",
    "processors.fan_out.person_notices:_set_protected",
    "connectors.sink_worker:SinkWorker._apply",
    "connectors.sink_worker:SinkWorker._read",
    "connectors.postgres.sink:PostgresSink._apply",
    "connectors.postgres.sink:PostgresSink._advance_offsets",
    "connectors.postgres.sink:PostgresSink.store",
)
PROGRAM = """
import importlib, json, sys
from operator import attrgetter
from tests.chaos.defects import DEFECTS
for defect, path in json.loads(sys.argv[1]).items():
    module_name, _, name = path.partition(":")
    module = importlib.import_module(module_name)
    before = attrgetter(name)(module)
    DEFECTS[defect].install()
    if before == attrgetter(name)(module):
        sys.exit(f"{defect} replaces nothing")
for path in json.loads(sys.argv[2]):
    module_name, _, name = path.partition(":")
    attrgetter(name)(importlib.import_module(module_name))
"""


def test_each_defect_replaces_something_that_exists() -> None:
    """After a rename a defect would leave the worker correct, and the checker would have nothing to find.

    It runs in a process of its own, because defects can't be removed again.
    """
    assert DEFECTS.keys() == REPLACED.keys()
    command = [sys.executable, "-c", PROGRAM, json.dumps(REPLACED), json.dumps(USED)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_supervisor_starts_workers_by_the_module_that_is_replaced() -> None:
    """The defective supervisor finds the module in the worker's command line."""
    assert f'"-m", "{WORKER}"' in Path(supervisor.__file__).read_text("utf-8")


def test_the_faults_that_reveal_a_defect_exist() -> None:
    """They are compared by kind."""
    assert {kind for defect in DEFECTS.values() for kind in defect.kinds} <= FAULTS.keys() | SEEDED.keys()


def test_the_checker_has_the_anomalies_that_a_defect_must_show() -> None:
    """They are compared with the table in its docstring."""
    table = checker.__doc__ or ""
    assert all(defect.shows for defect in DEFECTS.values())
    assert all(kind in table for defect in DEFECTS.values() for kind in defect.shows)
