"""The servers and how each user connects to them: servers of your own, or the local stack in MESH_HOME.

Servers of your own are set by MESH_SECRETS (a file of passwords by user, JSON), MESH_KAFKA_BOOTSTRAP, MESH_REGISTRY_URL
and MESH_DATABASE_URL, and, where they differ from the local stack's, MESH_KAFKA_SECURITY_PROTOCOL,
MESH_KAFKA_SASL_MECHANISM and MESH_KAFKA_SSL_CA_LOCATION. The output of `mesh local env` has no MESH_SECRETS, so
commands that run with it still use the local stack.
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


class ExternalServerSettings(BaseSettings):
    """The MESH_* settings of servers of your own."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    secrets: Path | None = Field(
        default=None,
        description="File of passwords by user (JSON). If set, the next settings replace the local stack.",
    )
    kafka_bootstrap: str | None = Field(
        default=None, max_length=4_096, description="Addresses of the brokers."
    )
    kafka_security_protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="SASL_PLAINTEXT", description="Security protocol of connections to the brokers."
    )
    kafka_sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="SASL mechanism by which users authenticate."
    )
    kafka_ssl_ca_location: Path | None = Field(
        default=None, description="File with the certificate of the CA that signed the brokers' certificates."
    )
    registry_url: str | None = Field(
        default=None, max_length=4_096, description="Address of the schema registry (Confluent's API)."
    )
    database_url: str | None = Field(
        default=None,
        max_length=4_096,
        description="Address of PostgreSQL: host, port, database, TLS options; no user and password.",
    )


class Environment(BaseModel, frozen=True, extra="forbid"):
    """One set of servers, with the settings by which each user connects."""

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
    #: Default number of replicas of a topic, and of replicas that must have a record.
    replication: tuple[int, int] = (1, 1)

    @classmethod
    def load(cls) -> Environment:
        """Return the servers of the MESH_* settings, or else the local stack that runs in MESH_HOME.

        Raise NoEnvironmentError where there is neither.
        """
        try:
            settings = ExternalServerSettings()
        except ValidationError as error:
            raise NoEnvironmentError(f"MESH_* settings: {_error_text(error)}") from error
        if settings.secrets is None:
            return cls.of_stack(Home.of_settings())
        return cls._of_settings(settings, settings.secrets)

    @classmethod
    def of_stack(cls, home: Home) -> Environment:
        """Return the local stack that runs in `home`. Raise NoEnvironmentError where none runs."""
        if not home.state_exists():
            raise NoEnvironmentError(
                f"there is no local stack in {home.folder}: run `mesh local up`, or set MESH_HOME"
            )
        state = home.state()
        brokers = [kafka_server.server(home, n) for n in range(1, len(state.ports.brokers) + 1)]
        for servers in (brokers, [postgres_server.server(home, state.postgres)]):
            if not any(server.process() for server in servers):
                raise NoEnvironmentError(
                    f"{servers[0].name} of {home.folder} is not running: run `mesh local up`"
                )
        return cls(
            bootstrap=kafka_server.bootstrap(state.ports),
            replication=kafka_server.replication(len(brokers)),
            registry_url=registry_server.url(state.ports),
            database_host=HOST,
            database_port=state.ports.postgres,
            secrets_file=home.secrets_file,
        )

    @classmethod
    def _of_settings(cls, settings: ExternalServerSettings, secrets_file: Path) -> Environment:
        required = ("kafka_bootstrap", "registry_url", "database_url")
        missing = [f"MESH_{name.upper()}" for name in required if not getattr(settings, name)]
        if missing:
            raise NoEnvironmentError(f"MESH_SECRETS is set, but not {', '.join(missing)}")
        if not secrets_file.is_file():
            raise NoEnvironmentError(f"MESH_SECRETS is {secrets_file}, which is not a file")
        return cls(
            bootstrap=str(settings.kafka_bootstrap),
            registry_url=str(settings.registry_url),
            security_protocol=settings.kafka_security_protocol,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            ssl_ca_location=settings.kafka_ssl_ca_location,
            secrets_file=secrets_file.absolute(),
            **_database_fields(str(settings.database_url)),
        )

    def kafka(self, user: str) -> dict[str, str]:
        """Return the librdkafka properties (addresses, SASL) of `user`. Raise KeyError where there is no such user."""
        properties = {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": self.security_protocol,
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": user,
            "sasl.password": self.secrets().password(user).get_secret_value(),
        }
        tls = {"ssl.ca.location": str(self.ssl_ca_location)} if self.ssl_ca_location else {}
        return properties | tls

    def dsn(self, role: str) -> str:
        """Return the PostgreSQL conninfo of `role`, with its password. Raise KeyError where there is no such role."""
        # Importing the driver takes as long as all other imports of a step's worker, which doesn't need it.
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
        """Return the configuration of a `SchemaRegistryClient` of confluent_kafka; only user `apply` may write."""
        if user != registry_server.WRITER:
            return {"url": self.registry_url}
        password = self.secrets().password(user).get_secret_value()
        return {"url": self.registry_url, "basic.auth.user.info": f"{user}:{password}"}

    def secrets(self) -> Secrets:
        """Return the passwords of this environment's users."""
        return Secrets(self.secrets_file)


def _database_fields(url: str) -> dict[str, object]:
    """Return host, port, database name and TLS options (`ssl…`) of a PostgreSQL URL, without the user."""
    import psycopg  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        # The driver's message would show the URL, which may contain a password.
        raise NoEnvironmentError("MESH_DATABASE_URL is not a PostgreSQL URL") from None
    options = {key: value for key, value in parts.items() if key.startswith("ssl")}
    return {
        "database_host": parts.get("host", HOST),
        "database_port": int(parts.get("port", "5432")),
        "database_name": parts.get("dbname", postgres_server.DATABASE),
        "database_options": options,
    }


def _error_text(error: ValidationError) -> str:
    return "; ".join(f"{detail['loc'][0]}: {detail['msg']}" for detail in error.errors(include_input=False))
