"""What the declarations of all systems must fulfil together. Each fault is a sentence that names system and field.

What one declaration can check about itself it checks when it is made (`schemas.declare`, `schemas.systems.model`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from infra.key_file import DEAD_LETTER_KEYS, HIGH_LEVEL_KEYS
from infra.local.kafka_server import FIRST_USERS
from infra.local.postgres_server import SUPERUSER
from infra.local.registry_server import WRITER
from processors.codes import DIGEST, MESH
from schemas.catalogue import Schema
from schemas.declare import Entity, FollowsEntity, HeldBy, Reads
from schemas.generate import generated_schemas, outdated
from schemas.schema_files import (
    avro_folder,
    avro_folders,
    display_path,
    names_in,
    schema_names,
    schema_text,
    versions,
)
from schemas.systems import PACKAGES, SYSTEMS, Domain, System
from schemas.systems._discovery import OWN_PACKAGE
from schemas.systems.model import Action
from schemas.topics import STEPS
from schemas.types import UnsupportedSchemaError

#: Names of users, logins, keys and steps that the mesh has itself.
RESERVED_IDS: Final = frozenset(
    {
        *STEPS,
        *FIRST_USERS,
        SUPERUSER,
        WRITER,
        MESH,
        DIGEST,
        DEAD_LETTER_KEYS,
        HIGH_LEVEL_KEYS,
        "sink",
        "public",
        "information-schema",
    }
)
_ID: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: The database has logins `sink_<domain>`, `<domain>_municipality` and `<domain>_<municipality>`, and its own `pg_…`.
_LIKE_A_LOGIN: Final = re.compile(r"(sink|pg)-.*|pg.?|.*-(municipality|[0-9]{6})")


def declaration_faults(systems: Mapping[str, System] = SYSTEMS) -> list[str]:
    """Return a sentence for each fault of the declarations or, if there is none, for each Avro file to be written."""
    return content_faults(systems) or list(_file_faults(systems))


def content_faults(systems: Mapping[str, System] = SYSTEMS) -> list[str]:
    """Return a sentence for each fault of the declarations themselves."""
    owned = {entity.id: entity for system in systems.values() for entity in (*system.owns, *system.derives)}
    return [
        *(fault for system in systems.values() if (fault := id_fault(system.id))),
        *_owner_faults(systems),
        *(fault for system in systems.values() for fault in _system_faults(system, owned)),
        *(fault for system in systems.values() for fault in _schema_faults(system)),
        *(fault for system in systems.values() for fault in _order_faults(system)),
    ]


def id_fault(id_: str) -> str | None:
    """Return why a system can't have this id; None if it can."""
    if not _ID.fullmatch(id_):
        return f"{id_!r} can't be the id of a system: it must be lower-case words joined by hyphens"
    # Consumer groups that begin with a domain's id belong to the domain.
    if id_ in RESERVED_IDS or MESH.startswith(id_) or _LIKE_A_LOGIN.fullmatch(id_):
        return f"{id_} can't be the id of a system: the mesh has users, keys or logins of such a name itself"
    return None


def _owner_faults(systems: Mapping[str, System]) -> Iterator[str]:
    owners: dict[str, str] = {}
    for system in systems.values():
        for entity in system.owns:
            first = owners.setdefault(entity.id, system.id)
            if first != system.id:
                yield f"{system.id}: it owns entity {entity.id}, which {first} owns already"
        repeated = [id_ for id_, count in Counter(entity.id for entity in system.owns).items() if count > 1]
        yield from (f"{system.id}: it owns entity {id_} twice" for id_ in repeated)


def _system_faults(system: System, owned: Mapping[str, Entity]) -> Iterator[str]:
    for entity in system.owns:
        yield from _entity_faults(system, entity, owned)
    domain = system.domain
    if domain is None:
        return
    if (domain.id, domain.scope) != (system.id, system.scope):
        yield f"{system.id}: its domain is {domain.id} ({domain.scope}); id and scope must be those of the system"
    yield from _basis_faults(domain)
    for reads in domain.reads:
        yield from _reading_faults(domain, reads, owned)
        refs = [declared.name for declared in reads.fields if declared.is_person_ref]
        if refs and reads.entity.id not in {entity.id for entity in system.owns}:
            yield (
                f"{domain.id}: reading {reads.name} has {', '.join(refs)}, which names another person: only the system"
                f" that owns {reads.entity.id} may receive that, because it knows whom it named"
            )


def _entity_faults(system: System, entity: Entity, owned: Mapping[str, Entity]) -> Iterator[str]:
    named = f"{system.id}: entity {entity.id}"
    if entity.by_part and not system.municipal:
        yield f"{named} has the municipality in its key, but the system is national"
    for rule in entity.all_follows:
        if isinstance(rule, FollowsEntity) and rule.entity.id not in owned:
            yield f"{named} follows {rule.entity.id}, which no declared system owns"


def _reading_faults(domain: Domain, reads: Reads, owned: Mapping[str, Entity]) -> Iterator[str]:
    entity = reads.entity
    if entity.id not in owned:
        yield f"{domain.id}: reading {reads.name} is of entity {entity.id}, which no declared system owns"
    elif owned[entity.id] != entity:
        yield f"{domain.id}: reading {reads.name} has another declaration of entity {entity.id} than its owner"
    if isinstance(reads.holders, HeldBy) and reads.holders.entity.id not in owned:
        yield f"{domain.id}: reading {reads.name} is about holders of {reads.holders.entity.id}, which nobody owns"


def _basis_faults(domain: Domain) -> Iterator[str]:
    effective = [reason for reason, rule in domain.rules.items() if rule.action is not Action.NONE]
    for reason in effective:
        if not domain.basis("PERSON", reason).strip():
            yield f"{domain.id}: the rule of {reason.japanese} has no legal basis"
    if domain.enrolment is not None and not domain.basis("PERSON", None).strip():
        yield f"{domain.id}: the enrolment has no legal basis"
    if domain.paying and not domain.account_basis.strip():
        yield f"{domain.id}: it receives accounts without an account_basis"
    for reads in domain.readings:
        if not (reads.basis.strip() and reads.purpose.strip()):
            yield f"{domain.id}: reading {reads.name} needs a purpose and a legal basis"


def _schema_faults(system: System) -> Iterator[str]:
    own_folder = avro_folder(PACKAGES.get(system.id, OWN_PACKAGE))
    for name, generated in generated_schemas(system).items():
        for folder in avro_folders():
            if folder != own_folder and name in names_in(folder):
                yield f"{system.id}: {folder / name} has Avro files, which belong into {own_folder}: move them there"
        repeated = [field for field, count in Counter(_field_paths(generated)).items() if count > 1]
        yield from (f"{system.id}: the schema {name} has two fields {field}" for field in repeated)
        if not repeated:
            schema = Schema(json.dumps(generated), name)
            try:
                _ = schema.type, schema.fastavro
            except UnsupportedSchemaError as error:
                yield f"{system.id}: two parts of the schema {name} have the same name ({error})"


def _order_faults(system: System) -> Iterator[str]:
    """Yield a fault for each entity in which a field isn't declared after those of an earlier version of the schema.

    Events are stored with their values in the order of the fields. A name that several entities have is left out.
    """
    name = system.publishes if system.owns else None
    if name is None or name not in schema_names():
        return
    occurs = Counter(field.name for entity in system.owns for field in entity.fields)
    for number in versions(name):
        before = [field["name"] for field in json.loads(schema_text(name, number))["fields"]]
        for entity in system.owns:
            names = [field for field in entity.field_names if occurs[field] == 1]
            old = [field for field in before if field in names]
            if names[: len(old)] != old:
                yield (
                    f"{system.id}: entity {entity.id} has its fields in another order than version {number} of {name}: "
                    "add a field at the end, because events are stored with their values in this order"
                )
                return


def _field_paths(record: Any, prefix: str = "") -> Iterator[str]:
    """Yield the names of the fields of a record as generated, and of the records in them."""
    for field in record["fields"]:
        yield f"{prefix}{field['name']}"
        kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
        for kind in kinds:
            if isinstance(kind, dict) and "fields" in kind:
                yield from _field_paths(kind, f"{prefix}{field['name']}.")


def _file_faults(systems: Mapping[str, System]) -> Iterator[str]:
    for system in systems.values():
        for file in outdated({system.id: system}).values():
            yield f"{system.id}: {display_path(file)} is not written yet: run `mesh systems generate`"
