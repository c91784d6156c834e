"""Where the servers are and how each user reaches them: given addresses, or the local stack in MESH_HOME."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from infra.local.secrets import Secrets


class NoEnvironmentError(RuntimeError):
    """Neither given addresses nor a running local stack; the message says what to do."""


class Environment(BaseModel, frozen=True, extra="forbid"):
    """One set of servers, with the settings by which any user of theirs connects."""

    bootstrap: str
    registry_url: str
    database_host: str
    database_port: int
    database_name: str = "mesh"
    secrets_file: Path

    @classmethod
    def load(cls) -> Environment:
        """The environment of the MESH_* settings, else of the stack that runs in MESH_HOME.

        Raises NoEnvironmentError where there is neither.
        """
        raise NoEnvironmentError("no stack is running: mesh local up")

    def kafka(self, user: str) -> dict[str, str]:
        """The librdkafka properties (addresses, SASL) by which `user` connects. KeyError: no such user."""
        raise NoEnvironmentError(user)

    def dsn(self, role: str) -> str:
        """The PostgreSQL conninfo, password included, of `role`. KeyError: no such role."""
        raise NoEnvironmentError(role)

    def registry(self, user: str) -> dict[str, object]:
        """Configuration of `confluent_kafka.schema_registry.SchemaRegistryClient`; only `apply` may write."""
        raise NoEnvironmentError(user)

    def secrets(self) -> Secrets:
        """The passwords of this environment's users."""
        return Secrets(self.secrets_file)
