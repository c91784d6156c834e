"""The files of an installation in MESH_HOME: keys, schema IDs, admitted municipalities, logs, run state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
from filelock import FileLock
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import OperatorError
from infra.local.home import Home, write_json
from schemas.municipalities import is_municipality

LOCK_TIMEOUT_S = 30.0


class UnknownMunicipalityError(OperatorError):
    """A code is not a municipality code by JIS X 0402 (format or check digit)."""

    def __init__(self, code: str) -> None:
        super().__init__(
            f"{code!r} is not a municipality code: six digits by JIS X 0402, the last one a check digit"
        )


class ApplySettings(BaseSettings):
    """`MESH_*` settings of topics and municipalities."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    partitions: int = Field(
        default=4, ge=1, le=1024, description="Number of partitions of keyed topics; can't be changed later."
    )
    replication_factor: int | None = Field(
        default=None,
        ge=1,
        le=9,
        description="Replicas of each topic; by default 3 on a local stack of three brokers, else 1.",
    )
    min_insync_replicas: int | None = Field(
        default=None,
        ge=1,
        le=9,
        description="Replicas that must have a record; by default 2 on a local stack of three brokers, else 1.",
    )
    intermediate_retention_days: int | None = Field(
        default=None,
        ge=30,
        le=36_500,
        description=(
            "Retention of intermediate topics (see docs/operations.md); by default for ever. "
            "It doesn't affect input topics and the topics for audit, which are kept for ever."
        ),
    )
    submitter_bytes_per_s: int = Field(
        default=20_971_520,
        ge=65_536,
        le=10_000_000_000,
        description="Bytes a second that each submitting user may write to each broker; then it is slowed down.",
    )
    submitter_request_percent: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Time of each broker's threads that each submitting user may take; 100 is one thread's.",
    )
    municipalities: str = Field(
        default="",
        max_length=20_000,
        description="Codes of municipalities that take part in addition to admitted ones, separated by commas.",
    )

    def with_replication_defaults(self, defaults: tuple[int, int]) -> ApplySettings:
        """Return these settings with defaults for the two numbers of replicas, where unset.

        `defaults` are those of `replication_factor` and `min_insync_replicas`; the second is limited to the
        first.
        """
        factor = self.replication_factor or defaults[0]
        in_sync = self.min_insync_replicas or min(defaults[1], factor)
        return self.model_copy(update={"replication_factor": factor, "min_insync_replicas": in_sync})


@dataclass(frozen=True)
class Installation:
    """The files and folders of one MESH_HOME that `mesh apply` and workers write."""

    folder: Path

    @classmethod
    def of_settings(cls) -> Installation:
        """Return the installation in MESH_HOME."""
        return cls(Home.of_settings().folder)

    @property
    def key_file(self) -> Path:
        """The file of the keys for codes, digests and dead letters."""
        return self.folder / "keys.json"

    @property
    def submission_key(self) -> Path:
        """The file of the public key by which submitters of the high level seal for intake. No secret."""
        return self.folder / "submission-key.json"

    @property
    def schema_ids(self) -> Path:
        """The file of the registry's schema IDs; with it a worker starts without the registry."""
        return self.folder / "schema-ids.json"

    @property
    def foreign_schemas(self) -> Path:
        """The cache of schemas of writers outside the mesh: the registry has them, the catalogue has not."""
        return self.folder / "foreign-schemas.json"

    @property
    def declarations(self) -> Path:
        """The file of the number, digest and readings of the declarations that were applied last."""
        return self.folder / "declarations.json"

    @property
    def logs_folder(self) -> Path:
        """The folder of the workers' logs."""
        return self.folder / "logs"

    @property
    def run_folder(self) -> Path:
        """The folder of the supervisor's state and of the workers' heartbeats."""
        return self.folder / "run"

    def municipalities(self) -> list[str]:
        """Return the sorted codes of the municipalities that take part: admitted here, or in MESH_MUNICIPALITIES.

        Raise UnknownMunicipalityError for an invalid code.
        """
        try:
            admitted = orjson.loads(self._admitted_file.read_bytes())
        except FileNotFoundError:
            admitted = []
        from_settings = ApplySettings().municipalities.split(",")
        return validated_codes([*admitted, *(code.strip() for code in from_settings if code.strip())])

    def admit(self, codes: Iterable[str]) -> list[str]:
        """Admit municipalities permanently and return the codes that were new.

        Raise UnknownMunicipalityError for an invalid code; then none is admitted.
        """
        requested = validated_codes(codes)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._admitted_file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
            known = self.municipalities()
            new = [code for code in requested if code not in known]
            if new or not self._admitted_file.exists():
                write_json(self._admitted_file, validated_codes([*known, *new]))
        return new

    @property
    def _admitted_file(self) -> Path:
        return self.folder / "municipalities.json"


def validated_codes(codes: Iterable[str]) -> list[str]:
    """Return the codes sorted and without repetition. Raise UnknownMunicipalityError for the first invalid one."""
    distinct = sorted(set(codes))
    for code in distinct:
        if not is_municipality(code):
            raise UnknownMunicipalityError(code)
    return distinct
