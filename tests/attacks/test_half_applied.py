"""An incompatible or missing schema was a traceback after half of `mesh apply` was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from infra.apply.topics_and_acls import TIMEOUT_S, admin_client
from infra.local.postgres_server import SUPERUSER
from tests.attacks.installed_copy import InstalledCopy
from tests.integration.cluster import IntegrationCluster

pytestmark = [pytest.mark.integration, pytest.mark.proof]

#: A municipality that takes no part yet: with it there is always something to make.
MUNICIPALITY = "271004"
RECEIPT = "schemas/avro/receipt"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> InstalledCopy:
    """Return a copy of the code, for all tests of this module."""
    return InstalledCopy.create(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def copy(original: InstalledCopy) -> Iterator[InstalledCopy]:
    """Yield the copy; put all its schemas and declarations back afterwards."""
    folder = original.code / "schemas"
    before = {
        file: file.read_bytes() for file in folder.rglob("*") if file.suffix in {".avsc", ".json", ".py"}
    }
    yield original
    for file in folder.rglob("*"):
        if file.is_file() and file not in before and file.suffix != ".pyc":
            file.unlink()
            if not list(file.parent.iterdir()):
                file.parent.rmdir()
    for file, content in before.items():
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)


def add_version(copy: InstalledCopy, change: Callable[[dict[str, Any]], None]) -> None:
    """Add version 2 of the schema of receipts, as a change of version 1."""
    schema = json.loads((copy.code / RECEIPT / "v1.avsc").read_text("utf-8"))
    change(schema)
    (copy.code / RECEIPT / "v2.avsc").write_text(json.dumps(schema), "utf-8")


def field_without_default(copy: InstalledCopy) -> None:
    """Add a field that older records don't have."""
    field = {"name": "added", "type": "string", "doc": "A field."}
    add_version(copy, lambda schema: schema["fields"].append(field))


def no_schema(copy: InstalledCopy) -> None:
    """Declare a domain whose schema is missing."""
    copy.add_domain("library", schema=False)


def no_avro(copy: InstalledCopy) -> None:
    """Add a version that is cut off."""
    (copy.code / RECEIPT / "v2.avsc").write_text('{"type": "record", "name"', "utf-8")


def released_changed(copy: InstalledCopy) -> None:
    """Change the type of a released field."""
    file = copy.code / RECEIPT / "v1.avsc"
    file.write_text(file.read_text("utf-8").replace('"long"', '"string"'), "utf-8")


def version_skipped(copy: InstalledCopy) -> None:
    """Add version 3 without version 2."""
    text = (copy.code / RECEIPT / "v1.avsc").read_text("utf-8")
    (copy.code / RECEIPT / "v3.avsc").write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (field_without_default, "receipt"),
        (no_schema, "domain-library"),
        (no_avro, "receipt/v2.avsc"),
        (released_changed, "receipt/v1.avsc"),
        (version_skipped, "receipt/v2.avsc"),
    ],
)
def test_a_faulty_schema_is_one_sentence_and_nothing_is_made(
    applied: IntegrationCluster, copy: InstalledCopy, fault: Callable[[InstalledCopy], None], word: str
) -> None:
    """The sentence names the schema."""
    fault(copy)
    assert_refused(applied, copy, word)


def test_a_schema_that_the_registry_has_otherwise_is_one_sentence(
    applied: IntegrationCluster, copy: InstalledCopy
) -> None:
    """The catalogue's versions fit each other, and one of them does not fit what another release has registered."""

    def optional(kind: str) -> dict[str, Any]:
        return {"name": "added", "type": ["null", kind], "doc": "A field.", "default": None}

    schema = json.loads((copy.code / RECEIPT / "v1.avsc").read_text("utf-8"))
    schema["fields"].append(optional("long"))
    with SchemaRegistryClient(applied.environment.registry("apply")) as registry:
        registry.register_schema("receipt-value", Schema(json.dumps(schema), "AVRO"))
        add_version(copy, lambda schema: schema["fields"].append(optional("string")))
        try:
            assert_refused(applied, copy, "receipt")
        finally:
            version = registry.get_versions("receipt-value")[-1]
            registry.delete_version("receipt-value", version)
            registry.delete_version("receipt-value", version, permanent=True)


def test_a_table_with_other_columns_is_one_sentence(applied: IntegrationCluster, copy: InstalledCopy) -> None:
    """`mesh apply` alters no column, so the sink would stop."""
    with psycopg.connect(applied.environment.dsn(SUPERUSER), autocommit=True) as connection:
        connection.execute("ALTER TABLE pension.person RENAME COLUMN kana TO reading")
        try:
            assert_refused(applied, copy, "pension.person")
        finally:
            connection.execute("ALTER TABLE pension.person RENAME COLUMN reading TO kana")


def test_another_number_of_partitions_is_one_sentence(
    applied: IntegrationCluster, copy: InstalledCopy
) -> None:
    """Keys would move to other partitions."""
    assert_refused(applied, copy, "MESH_PARTITIONS", MESH_PARTITIONS="8")


def test_a_number_of_replicas_without_brokers_is_one_sentence(
    applied: IntegrationCluster, copy: InstalledCopy
) -> None:
    """The broker is asked before anything is made."""
    assert_refused(applied, copy, "replication factor", MESH_REPLICATION_FACTOR="5")


def assert_refused(cluster: IntegrationCluster, copy: InstalledCopy, word: str, **settings: str) -> None:
    """Check that `mesh apply` says one sentence with this word, and makes nothing."""
    before = everything(cluster)
    process = copy.mesh("apply", "--municipality", MUNICIPALITY, **settings)
    assert process.returncode == 2, process.stdout
    assert "Traceback" not in process.stderr
    assert len(process.stderr.splitlines()) == 1, process.stderr
    assert word in process.stderr
    assert everything(cluster) == before


def everything(cluster: IntegrationCluster) -> dict[str, Any]:
    """Return all that `mesh apply` makes: files, topics, users, versions of subjects, schemas of the database."""
    client = admin_client(cluster.environment)
    with SchemaRegistryClient(cluster.environment.registry("auditor")) as registry:
        subjects = {subject: registry.get_versions(subject) for subject in registry.get_subjects()}
    with psycopg.connect(cluster.environment.dsn(SUPERUSER)) as connection:
        stores = connection.execute("SELECT nspname FROM pg_namespace ORDER BY 1").fetchall()
        roles = connection.execute("SELECT rolname FROM pg_roles ORDER BY 1").fetchall()
    described: Any = client.describe_user_scram_credentials()
    files = ("keys.json", "municipalities.json", "schema-ids.json", "secrets.json")
    return {
        "files": {name: digest(cluster.installation.folder / name) for name in files},
        "topics": sorted(client.list_topics(timeout=TIMEOUT_S).topics),
        "users": sorted(described.result(TIMEOUT_S)),
        "subjects": subjects,
        "stores": stores,
        "roles": roles,
    }


def digest(file: Path) -> str:
    """Return a checksum of a file, because a failed test shows what it compares."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
