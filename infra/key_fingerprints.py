"""The keys that an installation uses are recorded by their fingerprints, and a process with others does not start.

Another key would give a person a second code, and so a second row in a store. The fingerprints are on a compacted
topic, because processes run on several machines, each with a copy of the key file. `mesh apply` records the keys of a
name when it first sees them; after that they stay what they are.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.errors import KeyFileError, OperatorError
from infra.key_file import Keys, read_keys
from infra.run.settings import RunSettings
from schemas.codec import Codec
from schemas.tables import table_from_rows
from schemas.topics import KEY_FINGERPRINT, group
from streams.errors import DeniedError, NotConfiguredError, StreamError, UnavailableError
from streams.kafka_clients import reader_properties
from streams.kafka_errors import stopped_by

SCHEMA: Final = "key-fingerprint"
TIMEOUT_S: Final = 15.0
_POLL_S: Final = 0.1
#: How long to wait for the topic before asking whether it exists.
_MISSING_AFTER_S: Final = 3.0
_DIGEST_BYTES: Final = 16
#: Personalization of BLAKE2b; fixed: recorded fingerprints depend on it.
_PURPOSE: Final = b"key-fingerprint"

#: The fingerprints of the keys of each name, in the order of the key file.
Fingerprints: TypeAlias = Mapping[str, tuple[str, ...]]


def fingerprints(keys: Keys) -> dict[str, tuple[str, ...]]:
    """Return a keyed digest of each key (hex, 32 characters), which reveals nothing about the key."""
    return {name: tuple(_fingerprint(name, key) for key in versions) for name, versions in keys.items()}


def require_unchanged(keys: Keys, recorded: Fingerprints, file: Path) -> None:
    """Raise KeyFileError where the keys of a name in `file` are not the recorded ones, in their order."""
    current = fingerprints(keys)
    changed = sorted(name for name in current.keys() & recorded.keys() if current[name] != recorded[name])
    if changed:
        raise KeyFileError(
            f"the keys of {_listed(changed)} in {file.name} are not those that this installation uses: "
            "restore the key file"
        )


def require_present(names: Iterable[str], keys: Keys, recorded: Fingerprints, file: Path) -> None:
    """Raise KeyFileError where `file` has no keys of one of `names`, although they are recorded."""
    lost = sorted(name for name in names if name in recorded and name not in keys)
    if lost:
        raise KeyFileError(
            f"{file.name} has no key of {_listed(lost)} although this installation uses one: restore the key file"
        )


def require_installed_keys(
    environment: Environment, installation: Installation, user: str, names: Collection[str]
) -> None:
    """Raise KeyFileError unless the key file has the recorded keys of each of `names`, and no others of any name.

    For commands; `user` reads the topic. Raise OperatorError (code 1) where it can't.
    """
    try:
        _require(environment, installation, user, names, TIMEOUT_S)
    except StreamError as error:
        raise OperatorError(f"the keys can't be checked: {error}; see `mesh status`", code=1) from error


def require_keys_of_worker(
    environment: Environment, installation: Installation, user: str, names: Collection[str]
) -> None:
    """Do the same for a worker: raise StreamError where the topic can't be read, so that it doesn't start."""
    _require(environment, installation, user, names, RunSettings().recovery_timeout_s)


def not_configured(error: Exception) -> NotConfiguredError:
    """Return the error that ends a worker, with the same sentence; backticks are not in the alphabet of logs."""
    return NotConfiguredError(str(error).replace("`", ""))


def _require(
    environment: Environment, installation: Installation, user: str, names: Collection[str], timeout_s: float
) -> None:
    file = installation.key_file
    keys = read_keys(file, ())
    recorded = read_fingerprints(environment, codec(environment, installation), user, timeout_s)
    require_unchanged(keys, recorded, file)
    require_present(names, keys, recorded, file)
    read_keys(file, names)
    unknown = sorted(set(names) - recorded.keys())
    if unknown:
        raise KeyFileError(f"the keys of {_listed(unknown)} are not in use yet: run `mesh apply`")


def read_fingerprints(
    environment: Environment, schemas: Codec, user: str, timeout_s: float = TIMEOUT_S
) -> dict[str, tuple[str, ...]]:
    """Return the recorded fingerprints of each name.

    Raise KeyFileError where one can't be decoded, DeniedError where the topic is missing or `user` may not read it,
    UnavailableError where there is no answer.
    """
    decoded = schemas.decode(SCHEMA, list(_last_values(environment, user, timeout_s).values()))
    if decoded.failures:
        # Without it other keys would count as new ones.
        raise KeyFileError(
            f"{KEY_FINGERPRINT} has a record that is not readable: {decoded.failures[0].reason}"
        )
    return {row["name"]: tuple(row["fingerprints"]) for row in decoded.table.to_pylist()}


def _last_values(environment: Environment, user: str, timeout_s: float) -> dict[bytes | None, bytes | None]:
    """Return the last value of each key on the topic."""
    # A rejected password is reported here alone: a client tries it again for ever.
    errors: list[KafkaError] = []
    properties = reader_properties(environment.kafka(user) | {"log_level": "2"}, group(user))
    reader = Consumer({**properties, "error_cb": errors.append})
    values: dict[bytes | None, bytes | None] = {}
    begun = time.monotonic()
    try:
        reader.assign([TopicPartition(KEY_FINGERPRINT, 0, 0)])
        while time.monotonic() < begun + timeout_s:
            # A signal is handled between two calls.
            message = reader.poll(_POLL_S)
            _raise_if_denied(errors)
            if message is None:
                if time.monotonic() > begun + _MISSING_AFTER_S:
                    _raise_if_missing(reader)
            elif (error := message.error()) is None:
                values[message.key()] = message.value()
            elif error.code() == KafkaError._PARTITION_EOF:
                return values
            else:
                _raise_if_denied([error])
    finally:
        reader.close()
    raise UnavailableError(f"{KEY_FINGERPRINT}: no answer in {timeout_s:.0f} s")


def _raise_if_missing(reader: Consumer) -> None:
    """Raise DeniedError where no broker knows the topic: the reader itself says so only after half a minute."""
    with suppress(KafkaException):
        error = reader.list_topics(KEY_FINGERPRINT, timeout=_MISSING_AFTER_S).topics[KEY_FINGERPRINT].error
        _raise_if_denied([error] if error is not None else [])


def _raise_if_denied(errors: Iterable[KafkaError]) -> None:
    """Raise the first error that no further attempt would mend; a client recovers from all others by itself."""
    for error in errors:
        if isinstance(stop := stopped_by(error), DeniedError) or error.fatal():
            raise stop


def record_fingerprints(
    environment: Environment, schemas: Codec, user: str, keys: Keys, recorded: Fingerprints
) -> int:
    """Record the keys of each name that is not in `recorded`; return how many were new.

    Raise UnavailableError where the broker doesn't accept them.
    """
    new = {name: list(found) for name, found in fingerprints(keys).items() if name not in recorded}
    if not new:
        return 0
    rows = [{"name": name, "fingerprints": found} for name, found in new.items()]
    errors: list[KafkaError | None] = []
    producer = Producer({**environment.kafka(user), "enable.idempotence": True, "log_level": 2})
    encoded = schemas.encode(SCHEMA, table_from_rows(SCHEMA, rows, schemas.catalogue)).to_pylist()
    for name, value in zip(new, encoded, strict=True):
        producer.produce(KEY_FINGERPRINT, value, name, on_delivery=lambda error, _: errors.append(error))
    producer.flush(TIMEOUT_S)
    failed = [error for error in errors if error is not None]
    if failed or len(errors) < len(new):
        raise UnavailableError(f"{KEY_FINGERPRINT}: {failed[0].name() if failed else 'no answer'}")
    return len(new)


def _fingerprint(name: str, key: bytes) -> str:
    return hashlib.blake2b(name.encode(), key=key, digest_size=_DIGEST_BYTES, person=_PURPOSE).hexdigest()


def _listed(names: list[str]) -> str:
    """Return the first name and the number of others: the sentence must fit into a line of a worker's log."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
