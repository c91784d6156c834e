"""The formats of the files: librdkafka's, as kcat reads it, and Java's properties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from infra.errors import OperatorError

_LOGIN_MODULES: Final = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def comment(lines: Iterable[str]) -> str:
    """Return lines of a comment, in both formats."""
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def librdkafka_lines(settings: Mapping[str, str]) -> str:
    """Return a line `name=value` for each setting, with nothing quoted.

    Raise OperatorError for a value that the format can't have: it has no escapes, and readers trim lines.
    """
    for name, value in settings.items():
        if value != value.strip() or "\n" in value or "\r" in value:
            raise OperatorError(
                f"{name} begins or ends with a space, or has a line end: kcat can't read that"
            )
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def java_lines(settings: Mapping[str, str]) -> str:
    """Return the settings in the format of java.util.Properties, in ASCII."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def java_connection(connection: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    """Return librdkafka's properties of a connection as those of Kafka's Java clients, with `prefix` before each."""
    settings = {
        name: connection[name] for name in ("bootstrap.servers", "security.protocol", "sasl.mechanism")
    }
    mechanism, user, password = (connection[f"sasl.{name}"] for name in ("mechanism", "username", "password"))
    settings["sasl.jaas.config"] = (
        f"{_LOGIN_MODULES[mechanism]} required username={_quoted(user)} password={_quoted(password)};"
    )
    if "ssl.ca.location" in connection:
        settings |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": connection["ssl.ca.location"],
        }
    return {f"{prefix}{name}": value for name, value in settings.items()}


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(value: str) -> str:
    """Return a value with Java's escapes: backslashes, a leading space, control characters, and all but ASCII."""
    escaped = value.replace("\\", "\\\\")
    if escaped.startswith(" "):
        escaped = f"\\{escaped}"
    units = escaped.encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if 0x20 <= code < 0x7F else f"\\u{code:04x}" for code in codes)
