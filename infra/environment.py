"""Where the servers are and how each user reaches them: given addresses, or the local stack in MESH_HOME.

Given addresses: MESH_SECRETS (a file of passwords by user, JSON), MESH_KAFKA_BOOTSTRAP, MESH_REGISTRY_URL and
MESH_DATABASE_URL, and where they differ from the local stack's MESH_KAFKA_SECURITY_PROTOCOL,
MESH_KAFKA_SASL_MECHANISM and MESH_KAFKA_SSL_CA_LOCATION. What `mesh local env` prints has no MESH_SECRETS: with
that alone, commands still work on the local stack.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import NoEnvironmentError
from infra.local import kafka_server, postgres_server, registry_server
from infra.local.home import Home
from infra.local.ports import HOST
from infra.local.secrets import Secrets


class GivenAddresses(BaseSettings):
    """The MESH_* settings that name servers of an environment's own."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    secrets: Path | None = Field(
        default=None,
        description="File of passwords by user (JSON); with it the addresses below count, else the local stack.",
    )
    kafka_bootstrap: str | None = Field(
        default=None, max_length=4_096, description="Addresses of the brokers."
    )
    kafka_security_protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="SASL_PLAINTEXT", description="How clients connect to them."
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="How users show who they are."
    )
    kafka_ssl_ca_location: Path | None = Field(
        default=None, description="File of the authority that signed the brokers' certificates."
    )
    registry_url: str | None = Field(
        default=None, max_length=4_096, description="The schema registry (Confluent's API)."
    )
    database_url: str | None = Field(
        default=None,
        max_length=4_096,
        description="PostgreSQL: host, port, database, TLS; without user and password.",
    )


class Environment(BaseModel, frozen=True, extra="forbid"):
    """One set of servers, with the settings by which any user of theirs connects."""

    bootstrap: str
    registry_url: str
    database_host: str
    database_port: int
    database_name: str = postgres_server.DATABASE
    database_options: dict[str, str] = {}
    security_protocol: str = "SASL_PLAINTEXT"
    sasl_mechanism: str = kafka_server.MECHANISM
    ssl_ca_location: Path | None = None
    secrets_file: Path
    #: Copies of a topic, and of these how many must have a record, where no setting says otherwise.
    copies: tuple[int, int] = (1, 1)

    @classmethod
    def load(cls) -> Environment:
        """The environment of the MESH_* settings, else of the stack that runs in MESH_HOME.

        Raises NoEnvironmentError where there is neither.
        """
        try:
            given = GivenAddresses()
        except ValidationError as error:
            raise NoEnvironmentError(f"MESH_* settings: {_reasons(error)}") from error
        return (
            cls.of_stack(Home.of_settings()) if given.secrets is None else cls._of_given(given, given.secrets)
        )

    @classmethod
    def of_stack(cls, home: Home) -> Environment:
        """The environment of the stack that runs in `home`. NoEnvironmentError: none does."""
        if not home.state_exists():
            raise NoEnvironmentError(f"no local stack in {home.folder}: mesh local up (or set MESH_HOME)")
        state = home.state()
        brokers = [kafka_server.server(home, n) for n in range(1, len(state.ports.brokers) + 1)]
        for servers in (brokers, [postgres_server.server(home, state.postgres)]):
            if not any(server.process() for server in servers):
                raise NoEnvironmentError(f"{servers[0].name} of {home.folder} is not running: mesh local up")
        return cls(
            bootstrap=kafka_server.bootstrap(state.ports),
            copies=kafka_server.replication(len(brokers)),
            registry_url=registry_server.url(state.ports),
            database_host=HOST,
            database_port=state.ports.postgres,
            secrets_file=home.secrets_file,
        )

    @classmethod
    def _of_given(cls, given: GivenAddresses, secrets_file: Path) -> Environment:
        required = ("kafka_bootstrap", "registry_url", "database_url")
        missing = [f"MESH_{name.upper()}" for name in required if not getattr(given, name)]
        if missing:
            raise NoEnvironmentError(f"MESH_SECRETS is set, but not {', '.join(missing)}")
        if not secrets_file.is_file():
            raise NoEnvironmentError(f"MESH_SECRETS names {secrets_file}, which is no file")
        return cls(
            bootstrap=str(given.kafka_bootstrap),
            registry_url=str(given.registry_url),
            security_protocol=given.kafka_security_protocol,
            sasl_mechanism=given.kafka_sasl_mechanism,
            ssl_ca_location=given.kafka_ssl_ca_location,
            secrets_file=secrets_file.absolute(),
            **_database(str(given.database_url)),
        )

    def kafka(self, user: str) -> dict[str, str]:
        """The librdkafka properties (addresses, SASL) by which `user` connects. KeyError: no such user."""
        properties = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": user,
            "sasl.password": self.secrets().password(user).get_secret_value(),
        }
        authority = {"ssl.ca.location": str(self.ssl_ca_location)} if self.ssl_ca_location else {}
        return properties | authority

    def dsn(self, role: str) -> str:
        """The PostgreSQL conninfo, password included, of `role`. KeyError: no such role."""
        # The driver takes as long to import as all else of a step's worker, which has no use for it.
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415

        return make_conninfo(
            host=self.database_host,
            port=self.database_port,
            dbname=self.database_name,
            user=role,
            password=self.secrets().password(role).get_secret_value(),
            **self.database_options,
        )

    def registry(self, user: str) -> dict[str, object]:
        """Configuration of `confluent_kafka.schema_registry.SchemaRegistryClient`; only `apply` may write."""
        if user != registry_server.WRITER:
            return {"url": self.registry_url}
        password = self.secrets().password(user).get_secret_value()
        return {"url": self.registry_url, "basic.auth.user.info": f"{user}:{password}"}

    def secrets(self) -> Secrets:
        """The passwords of this environment's users."""
        return Secrets(self.secrets_file)


def _database(url: str) -> dict[str, object]:
    """Host, port, name and TLS options (`sslmode` and the like) of a PostgreSQL URL; not who connects."""
    import psycopg  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        # The driver's message would show the URL, and a password with it.
        raise NoEnvironmentError("MESH_DATABASE_URL is not a PostgreSQL URL") from None
    options = {key: value for key, value in parts.items() if key.startswith("ssl")}
    return {
        "database_host": parts.get("host", HOST),
        "database_port": int(parts.get("port", "5432")),
        "database_name": parts.get("dbname", postgres_server.DATABASE),
        "database_options": options,
    }


def _reasons(error: ValidationError) -> str:
    return "; ".join(f"{found['loc'][0]}: {found['msg']}" for found in error.errors(include_input=False))
