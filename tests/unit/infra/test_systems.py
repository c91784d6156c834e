"""`mesh systems` and `mesh rules`: the declared systems, listed, shown and explained."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from datetime import date

import pytest
from typer.testing import CliRunner, Result

from connectors.postgres.table_definitions import tables_of
from infra import cli as mesh
from infra.apply import checks
from infra.apply.topics_and_acls import ApplyError
from infra.systems import cli, descriptions
from infra.systems.data_flows import data_flows
from infra.systems.descriptions import consequence_text, description, table_names, topics_of_system
from infra.systems.explanations import submitted_fields
from schemas import declare
from schemas.declare import (
    Amendment,
    AtMostOneInForce,
    ByResidence,
    Cause,
    Entity,
    Expires,
    Follows,
    FollowsEntity,
    opens,
    text,
)
from schemas.schema_files import schema_names
from schemas.systems import DOMAINS, SYSTEMS, Domain
from schemas.topics import topics_of


def run(*words: str) -> Result:
    """Run `mesh` in this process, on a wide terminal."""
    return CliRunner().invoke(mesh.app, words, env={"COLUMNS": "400"})


def explained(source: str, target: str, field: str) -> Result:
    """Run `mesh rules explain`."""
    return run("rules", "explain", "--from", source, "--to", target, "--field", field)


def test_the_list_as_json_has_every_system() -> None:
    """One document, in the order of publication, with what each submits and receives."""
    documents = json.loads(run("systems", "list", "--json").stdout)
    assert [document["id"] for document in documents] == list(SYSTEMS)
    by_id = {document["id"]: document for document in documents}
    assert by_id["card"]["submits"]["schema"] == "submission-card"
    assert {"CardIssued", "Cancelled", "Enrolled"} <= set(by_id["card"]["submits"]["events"])
    readings = [reads.name for reads in DOMAINS["card"].readings]
    assert by_id["card"]["receives"] == ["person", "person_history", *readings]
    assert by_id["intermediate-server"]["submits"] == {"schema": None, "events": []}
    assert by_id["juki"]["receives"] == []


def test_the_list_as_table_has_every_system() -> None:
    """With names in Japanese."""
    listing = run("systems", "list")
    assert listing.exit_code == 0
    assert all(id_ in listing.stdout and system.japanese in listing.stdout for id_, system in SYSTEMS.items())


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.id)
def test_the_listed_tables_are_those_of_the_store(domain: Domain) -> None:
    """By name, in the same order."""
    if domain.event in schema_names():
        assert table_names(domain) == [table.name for table in tables_of(domain)]


@pytest.mark.parametrize("id_", SYSTEMS)
def test_every_system_can_be_shown(id_: str) -> None:
    """Entities, fields, events, readings, tables and topics are in the output."""
    shown = run("systems", "show", id_)
    assert shown.exit_code == 0, shown.output
    system = SYSTEMS[id_]
    expected = [id_, system.japanese, *system.event_names, *(f.name for f in system.submitted_fields)]
    expected += [topic.name for topic in topics_of_system(system)]
    if system.domain is not None:
        expected += [text for reads in system.domain.reads for text in (reads.purpose, reads.basis)]
    assert [text for text in expected if text not in shown.stdout] == []


def test_the_topics_of_all_systems_are_all_topics_with_a_system() -> None:
    """None is forgotten; those of the steps belong to no system, whatever their stores are named."""
    shown = {topic.name for system in SYSTEMS.values() for topic in topics_of_system(system)}
    parts = set(SYSTEMS)
    of_systems = {
        topic.name
        for topic in topics_of([descriptions.MUNICIPALITY])
        if parts & set(topic.name.split(".")) and not topic.name.startswith("state.")
    }
    assert shown == of_systems


def test_a_change_of_law_is_shown_with_its_first_day() -> None:
    """What follows by itself is listed for each of the times in which other rules are in force."""
    care = SYSTEMS["care"]
    insurance = next(entity for entity in care.owns if entity.by_residence is not None)
    rule = insurance.by_residence
    assert rule is not None
    amendments = (
        Amendment(date(2027, 4, 1), follows=(replace(rule, from_age=67),)),
        Amendment(date(2030, 4, 1), invariants=(AtMostOneInForce(),)),
    )
    changed = replace(care, owns=(replace(insurance, amendments=amendments),), domain=None)
    sections = {section.lines[0]: section.lines[1:] for section in description(changed)}
    assert "from the age of 65 on" in sections["what follows by itself"][0]
    assert "from the age of 67 on" in sections["what follows by itself, from 2027-04-01 on"][0]
    assert len(sections["invariants, from 2030-04-01 on"]) == 1


@pytest.mark.parametrize("words", [("systems", "show", "cards"), ("rules", "explain", "--from", "cards")])
def test_an_unknown_system_is_an_error_with_the_ids(words: tuple[str, ...]) -> None:
    """One sentence, exit code 2."""
    more = ("--to", "nta", "--field", "name") if words[0] == "rules" else ()
    result = run(*words, *more)
    assert result.exit_code == 2
    assert "'cards'; there are: juki, juki-cs" in result.stderr


def test_an_address_is_explained_by_reason() -> None:
    """Each reason with an effect on the column has its effect and basis."""
    result = explained("juki", "pension", "address")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    by_reason = {cells[1].strip(): cells for line in lines if len(cells := line.split("│")) == 5}
    assert "sets it to 国外" in by_reason["国外転出"][2]
    assert "removes it" in by_reason["死亡"][2]
    assert "withholds it" in by_reason["支援措置開始"][2]
    assert "支援措置" in by_reason["支援措置開始"][3]
    assert "国民年金法" in by_reason["転居"][3]
    assert "opens the row" in by_reason["(enrolment)"][2]
    assert "氏名変更" not in by_reason
    assert "withheld: the column is null" in result.stdout
    assert explained("juki-cs", "pension", "address").stdout == result.stdout.replace("juki", "juki-cs")


@pytest.mark.parametrize(
    ("source", "target", "field", "sentence"),
    [
        ("card", "card", "state", "card receives state of entity card in table card"),
        ("card", "card", "serial", "every event, because it is part of the key"),
        ("card", "nta", "state", "no reading of nta names the entity"),
        ("local-tax", "care", "levy", "care receives only what is made of levy of entity assessment"),
        ("local-tax", "care", "levy", "yes if it is exempt, no if it is levied or per-capita-only"),
        ("local-tax", "care", "amount", "It names year, exempt."),
        (
            "juki",
            "local-tax",
            "address",
            "one for each municipality that has the assessment, wherever the person",
        ),
        ("juki", "card", "household_code", "card doesn't receive household_code"),
        ("juki", "portal", "name", "it has no table person"),
        ("juki", "jpki", "address", "jpki receives address of entity resident in table holder"),
        ("juki", "jpki", "relationship", "it has no table person"),
        ("juki", "care", "roman", "It is derived from kana"),
        ("portal", "child", "bank", "Basis: 公金受取口座登録法"),
        ("portal", "portal", "number", "every account of the person"),
        ("portal", "nta", "bank", "it has no account_basis"),
    ],
)
def test_an_explanation_names_the_rule_or_what_is_missing(
    source: str, target: str, field: str, sentence: str
) -> None:
    """Received or not, it is an answer."""
    result = explained(source, target, field)
    assert result.exit_code == 0
    assert sentence in result.stdout


@pytest.mark.parametrize(
    ("source", "target", "field", "sentence"),
    [
        ("juki", "pension", "colour", "submits no field 'colour'; it submits: name, kana"),
        ("card", "card", "name", "it submits: serial, kind, state, expires_on"),
        ("intermediate-server", "nta", "name", "intermediate-server submits no field that a domain could"),
        ("nta", "nta", "name", "nta submits no field that a domain could receive"),
        ("juki", "juki-cs", "name", "juki-cs receives nothing; domains that receive data are: local-tax"),
        ("juki", "library", "name", "there is no domain 'library'"),
    ],
)
def test_a_question_without_an_answer_is_an_error(
    source: str, target: str, field: str, sentence: str
) -> None:
    """The sentence has what there is instead."""
    result = explained(source, target, field)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_every_explanation_is_possible() -> None:
    """For each system, field and domain."""
    for system in SYSTEMS.values():
        for field in submitted_fields(system):
            for domain in DOMAINS:
                assert explained(system.id, domain, field).exit_code == 0


OTHER = Entity("other", "他", (text("serial", "番号", 5),), (opens("Opened", "開始"),), key=("serial",))


@pytest.mark.parametrize(
    ("consequence", "words"),
    [
        (Follows("Ended", Cause.DIED), "Ended when the person has died"),
        (
            Follows("Ended", Cause.LEFT),
            "Ended when the person isn't registered in the municipality any more",
        ),
        (
            Follows(
                "Ended", Cause.DEPARTED, where={"kind": ("a", "b")}, after_days=9, unless="Kept", stays=True
            ),
            "9 days later, if kind is a or b, unless Kept happens before; it stays if the cause is cancelled",
        ),
        (Follows("Ended", Cause.FACTS_CHANGED, frozenset({"name"})), "has other facts (name)"),
        (
            FollowsEntity("Ended", OTHER, "serial", "state", ("void",)),
            "once the other named by serial has state void",
        ),
        (Expires("Ended", "until"), "Ended on the day after until"),
        (
            ByResidence("Began", "Ended", 65, 30),
            "from the age of 65 on; Ended 30 days after the person has left",
        ),
    ],
)
def test_consequences_are_words(consequence: declare.Consequence, words: str) -> None:
    """As `show` prints them."""
    assert words in consequence_text(consequence)


def test_the_rule_of_a_day_of_residence_is_a_sentence() -> None:
    """As `show` prints it, and the page of all systems."""
    words = "only the municipality of the confirmed registration on day 1 of month 1 of year has it, from that day on"
    assert words in run("systems", "show", "local-tax").stdout
    (group,) = [each for each in data_flows(SYSTEMS).consequences if each.fact == "assessment"]
    assert (group.cause, group.texts) == ("PERSON", (words,))


def test_a_faulty_declaration_is_one_sentence_per_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard error, exit code 1; `mesh apply` says the first."""
    faults = ["nta: the rule of 転居 has no legal basis", "care: two readings have the table aid"]
    monkeypatch.setattr(cli, "declaration_faults", lambda: faults)
    monkeypatch.setattr(checks, "declaration_faults", lambda: faults)
    result = run("systems", "check")
    assert (result.exit_code, result.stderr.splitlines()) == (1, faults)
    with pytest.raises(ApplyError, match="nta: the rule of 転居 has no legal basis"):
        checks.check_declarations()


def test_a_schema_that_can_not_be_applied_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` says before `mesh apply` does that two versions don't read each other."""

    def incompatible(_: object) -> None:
        raise ApplyError("schema domain-nta, version 2, can't read records of version 1")

    monkeypatch.setattr(cli, "declaration_faults", list)
    monkeypatch.setattr(cli, "check_schema_files", incompatible)
    result = run("systems", "check")
    assert (result.exit_code, "domain-nta" in result.stderr) == (1, True)


def test_good_declarations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit code 0."""
    monkeypatch.setattr(cli, "declaration_faults", list)
    monkeypatch.setattr(cli, "check_schema_files", lambda _: None)
    result = run("systems", "check")
    assert (result.exit_code, result.stdout) == (0, f"{len(SYSTEMS)} systems checked: no fault\n")


def test_a_declaration_that_contradicts_itself_is_a_sentence_of_every_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a traceback: the module of the command can't be imported then."""

    def fails(_: str) -> None:
        raise declare.DeclarationError("schemas/systems/aid.py: aid: a field is declared twice")

    monkeypatch.setattr(importlib, "import_module", fails)
    result = run("status")
    assert (result.exit_code, result.stderr) == (
        1,
        "mesh: schemas/systems/aid.py: aid: a field is declared twice\n",
    )
