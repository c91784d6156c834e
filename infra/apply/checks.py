"""What `mesh apply` checks before its first change: what can't be completed is not begun."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from infra.apply import schemas_and_stores
from infra.apply.applied_declarations import applied_declarations, declared_fields
from infra.apply.ended_readings import check_taken_away
from infra.apply.installation import ApplySettings, Installation
from infra.apply.narrowed_events import narrowed
from infra.apply.schemas_and_stores import SchemaPlan
from infra.apply.topics_and_acls import ApplyError, admin_client, check_topics, existing_topics
from infra.coding import codec_with
from infra.environment import Environment
from infra.key_fingerprints import Fingerprints, read_fingerprints, require_present, require_unchanged
from infra.keys import KEY_NAMES, load_all_keys
from infra.local.kafka_server import ADMIN
from infra.systems.declaration_checks import declaration_faults
from schemas.catalogue import catalogue
from schemas.released import changed_files
from schemas.schema_files import schema_names, schema_text, versions
from schemas.topics import KEY_FINGERPRINT, TopicDeclaration
from schemas.types import UnsupportedSchemaError
from streams.errors import StreamError


@dataclass(frozen=True)
class CheckedPlan:
    """What the checks have found: the schemas to register, and the keys that the installation uses already."""

    schemas: SchemaPlan
    fingerprints: Fingerprints


def check(
    environment: Environment,
    installation: Installation,
    topics: Sequence[TopicDeclaration],
    recreated: Collection[str] = (),
) -> CheckedPlan:
    """Check everything that `mesh apply` depends on, and change nothing.

    `recreated` are topics that a replay deletes before, and with them all stores: these may differ. Raise ApplyError
    with the first reason why the declarations can't be applied, KeyFileError where the keys are not those in use.
    """
    # What must not be taken away comes first: nobody should write Avro files for it.
    check_events(installation)
    if not recreated:
        check_fields(installation)
        check_taken_away(environment, installation)
    check_declarations()
    check_schema_files(topics)
    client = admin_client(environment)
    existing = existing_topics(client)
    settings = ApplySettings().with_replication_defaults(environment.replication)
    kept = [topic for topic in topics if topic.name not in recreated]
    check_topics(client, kept, settings, existing)
    schemas = schemas_and_stores.plan_schemas(environment, topics)
    fingerprints = _check_keys(environment, installation, schemas, existing)
    if not recreated:
        schemas_and_stores.check_stores(environment)
    return CheckedPlan(schemas, fingerprints)


def check_fields(installation: Installation) -> None:
    """Raise ApplyError where an entity or reading has other fields, or in another order, than was applied before.

    What was submitted is stored with its values in the order of the fields, and rows are on their way in it, so one may
    only be added at the end. A replay derives it again.
    """
    applied = applied_declarations(installation).fields
    for name, names in declared_fields().items():
        before = applied.get(name, ())
        if names[: len(before)] != tuple(before):
            raise ApplyError(
                f"{name} had the fields {', '.join(before)} when declarations were last applied, and has now "
                f"{', '.join(names)}: only add fields at the end, because values are stored and sent in this order; "
                "or derive everything again with `mesh replay --yes`"
            )


def check_events(installation: Installation) -> None:
    """Raise ApplyError where an event may bring less than when declarations were last applied, also before a replay."""
    if fault := narrowed(applied_declarations(installation).events):
        raise ApplyError(
            f"{fault}; what was accepted before must stay accepted, because a replay reads it again: "
            "declare another event or field beside it"
        )


def check_declarations() -> None:
    """Raise ApplyError with the first fault of the declared systems."""
    if faults := declaration_faults():
        raise ApplyError(faults[0])


def check_schema_files(topics: Iterable[TopicDeclaration]) -> None:
    """Raise ApplyError where a topic's schema is missing, changed after its release, no Avro, or incompatible."""
    for topic in topics:
        if topic.schema not in schema_names():
            raise ApplyError(
                f"topic {topic.name} has schema {topic.schema}, but there is no {_file(topic.schema, 1)}"
            )
    for name in schema_names():
        _check_encoding(name)
    if changed := changed_files():
        raise ApplyError(
            f"schemas/avro/{changed[0]}.avsc was changed after its release: restore it and add a new version"
        )
    for name in sorted({topic.schema for topic in topics}):
        _check_versions(name)


def _check_encoding(name: str) -> None:
    for number in versions(name):
        try:
            schema_text(name, number)
        except UnicodeDecodeError as error:
            raise ApplyError(f"{_file(name, number)} is not UTF-8") from error


def _check_versions(name: str) -> None:
    numbers = versions(name)
    for expected, number in enumerate(numbers or (0,), start=1):
        if number != expected:
            raise ApplyError(f"schema {name} has no {_file(name, expected)}")
    schemas = [catalogue().schema(name, number) for number in numbers]
    for schema in schemas:
        try:
            # Both reject what the other accepts: the codec has no columns for it, or it breaks a rule of Avro.
            _ = schema.type, schema.fastavro
        except UnsupportedSchemaError as error:
            raise ApplyError(f"{_file(name, schema.version)} is no schema: {error}") from error
    for reader, writer in permutations(schemas, 2):
        if not _can_read(reader.text, writer.text):
            raise ApplyError(
                f"schema {name}, version {reader.version}, can't read records of version {writer.version}: "
                "every version must read every other one"
            )


def _can_read(reader: str, writer: str) -> bool:
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType  # noqa: PLC0415
    from avro.errors import AvroException  # noqa: PLC0415
    from avro.schema import parse  # noqa: PLC0415

    checker: Any = ReaderWriterCompatibilityChecker
    try:
        result = checker().get_compatibility(parse(reader), parse(writer))
    except AvroException:
        # This library is stricter than the one that reads records: what it rejects must not be released either.
        return False
    return result.compatibility is SchemaCompatibilityType.compatible


def _check_keys(
    environment: Environment, installation: Installation, schemas: SchemaPlan, existing: Mapping[str, int]
) -> Fingerprints:
    """Return the fingerprints of the keys in use. Raise KeyFileError where the key file lacks one or has others."""
    file = installation.key_file
    keys = dict(load_all_keys(file).keys) if file.exists() else {}
    if KEY_FINGERPRINT not in existing:
        return {}
    ids = {
        (name, number): found
        for name, by_number in schemas.ids.items()
        for number, found in by_number.items()
    }
    try:
        recorded = read_fingerprints(environment, codec_with(environment, installation, ids), ADMIN)
    except StreamError as error:
        raise ApplyError(f"the fingerprints of the keys can't be read: {error}") from error
    require_present(KEY_NAMES, keys, recorded, file)
    require_unchanged(keys, recorded, file)
    return recorded


def _file(name: str, version: int) -> str:
    return f"schemas/avro/{name}/v{version}.avsc"
