"""`mesh client`: files for one Kafka user, with what it may do and nothing more."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import fastavro
import pytest
from typer.testing import CliRunner, Result

from infra import cli as mesh
from infra.apply.plan import AclRule
from infra.client.client_files import connect_files, java_files, kcat_files, python_files
from infra.client.file_formats import java_connection, java_lines, librdkafka_lines
from infra.client.kafka_access import KafkaAccess, allows_group, kafka_access
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.catalogue import catalogue
from schemas.systems import DOMAINS
from schemas.topics import STEPS, sink_step, topics_of, users

pytestmark = pytest.mark.unit

CODE = "131041"
PASSWORD = 'pa ss="wörd\\x#'
KINDS = ("kcat", "python", "java", "connect")
#: A domain of the standard level, and submitters whose submissions are not sealed.
DOMAIN, SUBMITTER, BOTH, HIGH = "care", f"juki.{CODE}", "pension", f"welfare.{CODE}"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return servers of the operator's own, whose passwords need every format's escapes; they are never reached."""
    home = tmp_path / "home"
    home.mkdir()
    secrets = home / "secrets.json"
    # One user has no password here.
    names = [user for user in users(topics_of([CODE])) if user != "nta"]
    secrets.write_text(json.dumps(dict.fromkeys(names, PASSWORD)))
    settings = {
        "HOME": str(home),
        "MUNICIPALITIES": CODE,
        "SECRETS": str(secrets),
        "KAFKA_BOOTSTRAP": "broker.example:9093",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
        "KAFKA_SSL_CA_LOCATION": "/etc/ca.pem",
        "REGISTRY_URL": "http://registry.example/apis/ccompat/v7",
        "DATABASE_URL": "postgresql://database.example/mesh",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"MESH_{name}", value)
    return Environment.load()


def access(environment: Environment, user: str) -> KafkaAccess:
    """Return what a user may do with one municipality."""
    return kafka_access(environment, [CODE], user)


def run(*words: object) -> Result:
    """Run `mesh client` in this process."""
    return CliRunner().invoke(mesh.app, ["client", *map(str, words)], env={"COLUMNS": "400"})


def librdkafka_settings(text: str) -> dict[str, str]:
    """Return the settings of a file as kcat reads it: without comments, each line split at its first `=`."""
    lines = [line for line in text.split("\n") if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_folder_are_the_owners_alone(environment: Environment, tmp_path: Path, kind: str) -> None:
    """Neither others nor the group may read them, and no output shows the password."""
    folder = tmp_path / "files" / kind
    result = run(kind, "--user", DOMAIN, folder)
    assert result.exit_code == 0, result.output
    assert folder.stat().st_mode & 0o077 == 0
    files = list(folder.iterdir())
    assert files
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert "wörd" not in result.output


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_exist_stay(environment: Environment, tmp_path: Path, kind: str) -> None:
    """The command exits with 2 and changes nothing, unless --force replaces them."""
    folder = tmp_path / kind
    assert run(kind, "--user", DOMAIN, folder).exit_code == 0
    first = sorted(folder.iterdir())[0]
    first.write_text("mine")
    refused = run(kind, "--user", DOMAIN, folder)
    assert (refused.exit_code, first.read_text()) == (2, "mine")
    assert "--force" in refused.output
    assert run(kind, "--user", DOMAIN, folder, "--force").exit_code == 0
    assert first.read_text() != "mine"


def test_a_folder_that_others_may_enter_is_refused(environment: Environment, tmp_path: Path) -> None:
    """Its mode isn't changed: it may be a folder of other things."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    refused = run("java", "--user", DOMAIN, folder)
    assert (refused.exit_code, list(folder.iterdir())) == (2, [])
    assert "chmod 700" in refused.output


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("nobody", "no Kafka user"),
        ("juki.012033", "no Kafka user"),  # This municipality isn't admitted.
        ("admin", "no Kafka user"),
        ("nta", "no password"),
        ("intake", "user of a step"),
        ("sink.care", "user of a step"),
        (HIGH, "must be sealed"),
    ],
)
def test_users_for_whom_there_are_no_files(
    environment: Environment, tmp_path: Path, user: str, reason: str
) -> None:
    """One sentence says why, the command exits with 2, and there is no folder."""
    refused = run("kcat", "--user", user, tmp_path / "none")
    assert refused.exit_code == 2
    assert reason in refused.output
    assert not (tmp_path / "none").exists()


def test_connect_reads_only_what_the_user_may_read(environment: Environment, tmp_path: Path) -> None:
    """A submitter reads nothing; the auditor has to choose; a domain has one topic and no other."""
    folder = tmp_path / "none"
    for words in ((SUBMITTER,), ("auditor",), ("auditor", "--topic", "notce"), (DOMAIN, "--topic", "notice")):
        assert run("connect", folder, "--user", *words).exit_code == 2, words
    assert run("connect", folder, "--user", "auditor", "--topic", "notice").exit_code == 0
    assert "topics=notice\n" in (folder / "file-sink.properties").read_text()


def groups_in(files: Mapping[str, str]) -> set[str]:
    """Return the names of groups in files of any format."""
    documents = [json.loads(text) for name, text in files.items() if name.endswith(".json")]
    lines = [line for text in files.values() for line in text.split("\n") if "group.id=" in line]
    return {line.split("=", 1)[1] for line in lines} | {
        document["consumer"]["group.id"] for document in documents if "consumer" in document
    }


@pytest.mark.parametrize(
    "user", [*(d.id for d in DOMAINS.values() if not d.is_high and d.id != "nta"), "auditor"]
)
def test_every_group_is_one_that_the_acls_allow(environment: Environment, user: str) -> None:
    """Also Kafka Connect's, whose own default isn't."""
    rights = access(environment, user)
    files = [kcat_files(rights), python_files(rights), java_files(rights)]
    files.append(connect_files(rights, Path("/folder"), rights.reads[0].name))
    for each in files:
        groups = groups_in(each)
        assert groups
        assert all(allows_group(rights.group_rules, name) for name in groups), groups
    if user != "auditor":
        assert not allows_group(rights.group_rules, f"connect-{user}-file")


def test_acls_on_groups() -> None:
    """A denial counts more than what allows; a literal rule is about one name, and `*` about all."""
    prefix = AclRule("care", "GROUP", "care", "READ", prefixed=True)
    everything = AclRule("auditor", "GROUP", "*", "READ")
    denied = AclRule("auditor", "GROUP", "mesh.", "READ", prefixed=True, denied=True)
    literal = AclRule("intake", "GROUP", "mesh.intake", "READ")
    assert allows_group([prefix], "care.app")
    assert not allows_group([prefix], "connect-care")
    assert allows_group([everything, denied], "auditor.app")
    assert not allows_group([everything, denied], "mesh.intake")
    assert not allows_group([literal], "mesh.intake.2")
    assert not allows_group([], "care")


def test_readers_see_committed_records_and_submitters_lose_none(environment: Environment) -> None:
    """In every format, by what the user may do; connection settings are those of the environment."""
    for user, reads, writes in ((DOMAIN, True, False), (SUBMITTER, False, True), (BOTH, True, True)):
        rights = access(environment, user)
        kcat, java = kcat_files(rights), java_files(rights)["client.properties"]
        python = json.loads(python_files(rights)["client.json"])
        assert ("read.conf" in kcat, "submit.conf" in kcat) == (reads, writes)
        assert ("consumer" in python, "producer" in python) == (reads, writes)
        assert ("isolation.level=read_committed\n" in java, "acks=all\n" in java) == (reads, writes)
        assert python["connection"] == environment.kafka(user)
        for text in kcat.values():
            assert environment.kafka(user).items() <= librdkafka_settings(text).items()
        if reads:
            assert librdkafka_settings(kcat["read.conf"])["isolation.level"] == "read_committed"
            assert python["consumer"]["isolation.level"] == "read_committed"
        if writes:
            assert librdkafka_settings(kcat["submit.conf"])["enable.idempotence"] == "true"
            assert python["submit"] == f"in.{user}"


def test_java_properties_have_javas_escapes() -> None:
    """The login is quoted twice, for JAAS and for properties; a CA's certificate is a truststore in PEM."""
    connection = {
        "bootstrap.servers": "b:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "care",
        "sasl.password": PASSWORD,
        "ssl.ca.location": "/etc/ca.pem",
    }
    login = (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        r'username="care" password="pa ss=\\"w\u00f6rd\\\\x#";'
    )
    assert java_lines(java_connection(connection, "consumer.")).split("\n") == [
        "consumer.bootstrap.servers=b:1",
        "consumer.security.protocol=SASL_SSL",
        "consumer.sasl.mechanism=PLAIN",
        f"consumer.sasl.jaas.config={login}",
        "consumer.ssl.truststore.type=PEM",
        "consumer.ssl.truststore.location=/etc/ca.pem",
        "",
    ]
    assert java_lines({"a": " \t𠮷"}) == "a=\\ \\u0009\\ud842\\udfb7\n"


@pytest.mark.parametrize("password", [" a", "a ", "a\nb", "a\rb"])
def test_a_password_that_kcat_can_not_read_is_refused(password: str) -> None:
    """Otherwise the login would fail without a reason."""
    with pytest.raises(OperatorError, match=r"sasl\.password"):
        librdkafka_lines({"sasl.password": password})


def test_steps_are_known_by_the_declarations(environment: Environment) -> None:
    """No user of a worker has files, whatever steps there are."""
    for step in (*STEPS, *map(sink_step, DOMAINS)):
        with pytest.raises(OperatorError, match="user of a step"):
            access(environment, step)


def program(folder: Path, name: str) -> ModuleType:
    """Return the module of a program that was written into a folder."""
    specification = importlib.util.spec_from_file_location(f"written_{name}", folder / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def wire(schema_id: int, schema: Any, value: Mapping[str, Any]) -> bytes:
    """Return a value in Confluent's wire format."""
    buffer = io.BytesIO()
    buffer.write(b"\0" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(buffer, schema, value)
    return buffer.getvalue()


def test_the_reader_returns_the_form_of_its_file_when_the_writers_schema_is_newer(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer field is left out, and a newer symbol is the default: the program needs no change."""
    assert run("python", "--user", DOMAIN, tmp_path / "files").exit_code == 0
    reader = program(tmp_path / "files", "read_records")
    newer = json.loads(catalogue().schema("domain-care").text)
    newer["fields"].append({"name": "later", "type": ["null", "string"], "default": None})
    operation = next(field for field in newer["fields"] if field["name"] == "op")["type"]
    operation["symbols"].append("LATER")
    value = {
        "code": "c",
        "revision": 1,
        "effective_on": "2026-04-01",
        "entity": "PERSON",
        "later": "x",
        "op": "LATER",
    }
    newest = {7: fastavro.parse_schema(newer)}
    monkeypatch.setattr(reader, "writer_schema", lambda schema_id, registry: newest[schema_id])
    decoded = reader.decoded(wire(7, newer, value), "domain.care", "http://registry.example")
    assert "later" not in decoded
    assert (decoded["code"], decoded["op"]) == ("c", "UNKNOWN")
    with pytest.raises(ValueError, match="wire format"):
        reader.decoded(b"{}", "domain.care", "http://registry.example")


def test_the_submitter_encodes_a_line_and_refuses_a_misspelt_field(
    environment: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields that are left out have their default; a field that isn't in the schema would be lost without a word."""
    assert run("python", "--user", SUBMITTER, tmp_path / "files").exit_code == 0
    submitter = program(tmp_path / "files", "submit_records")
    schema = catalogue().schema("juki-notice").fastavro
    encoded = submitter.encoded('{"notice": "13104-1", "persons": [{"code": "1"}]}', 1, 258, schema)
    assert encoded[:5] == b"\0\0\0\1\2"
    record: Any = fastavro.schemaless_reader(io.BytesIO(encoded[5:]), schema, None)
    assert (record["notice"], record["persons"][0]["code"], record["reason"]) == ("13104-1", "1", None)
    for line in ('{"notise": "13104-1"}', "[]", "{"):
        with pytest.raises(SystemExit, match="line 3 is not a record"):
            submitter.encoded(line, 3, 258, schema)


def test_the_programs_use_nothing_of_the_mesh() -> None:
    """An agency has no such package."""
    programs = Path(mesh.__file__).parent / "client" / "programs"
    texts = [file.read_text() for file in programs.glob("*_records.py")]
    assert len(texts) == 2
    for text in texts:
        imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
        assert imported <= {*sys.stdlib_module_names, "confluent_kafka", "fastavro"}
