"""What an installation keeps beside its servers: keys, schema ids, and which municipalities take part."""

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
    """A code that is no municipality's by JIS X 0402 (form or check digit)."""

    def __init__(self, code: str) -> None:
        super().__init__(f"{code!r} is no municipality: six digits of JIS X 0402, the last a check digit")


class ApplySettings(BaseSettings):
    """How topics are made, from `MESH_*` settings."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    partitions: int = Field(
        default=4, ge=1, le=1024, description="Partitions of keyed topics; never changed later."
    )
    replication_factor: int | None = Field(
        default=None,
        ge=1,
        le=9,
        description="Copies of each topic; by default 3 on a local stack of three brokers, else 1.",
    )
    min_insync_replicas: int | None = Field(
        default=None,
        ge=1,
        le=9,
        description="Copies that must have a record; by default 2 on a local stack of three brokers, else 1.",
    )
    intermediate_retention_days: int | None = Field(
        default=None,
        ge=30,
        le=36_500,
        description=(
            "How long topics between steps keep a record (see docs/operations.md); by default for ever. "
            "All that is handed over, told or disclosed is kept for ever anyway."
        ),
    )
    municipalities: str = Field(
        default="",
        max_length=20_000,
        description="Municipalities that take part beside those admitted: codes with commas.",
    )

    def on(self, copies: tuple[int, int]) -> ApplySettings:
        """The same, with these copies (all, and those that must have a record) where a setting leaves them open."""
        factor = self.replication_factor or copies[0]
        in_sync = self.min_insync_replicas or min(copies[1], factor)
        return self.model_copy(update={"replication_factor": factor, "min_insync_replicas": in_sync})


@dataclass(frozen=True)
class Installation:
    """Files of one MESH_HOME that are made by `mesh apply`."""

    folder: Path

    @classmethod
    def of_settings(cls) -> Installation:
        """The one that MESH_HOME names."""
        return cls(Home.of_settings().folder)

    @property
    def key_file(self) -> Path:
        """The keys that codes are made with."""
        return self.folder / "keys.json"

    @property
    def schema_ids(self) -> Path:
        """Ids that the registry gave, so that a worker starts without it."""
        return self.folder / "schema-ids.json"

    @property
    def foreign_schemas(self) -> Path:
        """Schemas of writers outside the catalogue, as the registry gave them."""
        return self.folder / "foreign-schemas.json"

    @property
    def logs(self) -> Path:
        """Where workers write their logs."""
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        """What runs here: the supervisor's state."""
        return self.folder / "run"

    def municipalities(self) -> list[str]:
        """Codes of those admitted here, and of MESH_MUNICIPALITIES; sorted. UnknownMunicipalityError."""
        try:
            admitted = orjson.loads(self._admitted_file.read_bytes())
        except FileNotFoundError:
            admitted = []
        named = ApplySettings().municipalities.split(",")
        return checked([*admitted, *(code.strip() for code in named if code.strip())])

    def admit(self, codes: Iterable[str]) -> list[str]:
        """Admit more of them, for good; those that were new. UnknownMunicipalityError, and then none is."""
        wanted = checked(codes)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._admitted_file}.lock", timeout=LOCK_TIMEOUT_S, mode=0o600):
            known = self.municipalities()
            fresh = [code for code in wanted if code not in known]
            if fresh or not self._admitted_file.exists():
                write_json(self._admitted_file, checked([*known, *fresh]))
        return fresh

    @property
    def _admitted_file(self) -> Path:
        return self.folder / "municipalities.json"


def checked(codes: Iterable[str]) -> list[str]:
    """The codes, sorted, each once. UnknownMunicipalityError for the first that is none."""
    wanted = sorted(set(codes))
    for code in wanted:
        if not is_municipality(code):
            raise UnknownMunicipalityError(code)
    return wanted
