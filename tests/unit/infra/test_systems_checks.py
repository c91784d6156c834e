"""The check of all declarations together, and the ids that a system may have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra.systems import declaration_checks
from infra.systems.declaration_checks import content_faults, declaration_faults, id_fault
from infra.systems.first_file import first_file
from schemas.declare import (
    PART,
    REGISTRATION,
    RESIDENT,
    Coverage,
    DeclarationError,
    Enrolled,
    Entity,
    Event,
    FollowsEntity,
    HeldBy,
    OfResidenceOn,
    Reads,
    closes,
    digits,
    opens,
    person_ref,
    text,
)
from schemas.reasons import Reason
from schemas.systems import SYSTEMS
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of, submission_schema


def entity(id_: str = "loan", *, key: tuple[str, ...] = ("serial",), event: str = "LoanBegan") -> Entity:
    """Return an entity with a serial number and a note."""
    ended: Event = closes("LoanEnded", "返却")
    fields = (text("serial", "番号", 10), text("note", "備考", 10).optional())
    return Entity(id_, "貸出", fields, (opens(event, "貸出"), ended), key=key)


def reading(of: Entity, name: str = "loan", basis: str = "図書館法") -> Reads:
    """Return a reading of an entity."""
    return Reads(name, of, ("note",), "貸出の管理", basis)


def system(
    *reads: Reads,
    owns: tuple[Entity, ...] = (),
    id_: str = "library",
    scope: Scope = Scope.NATIONAL,
    basis: str = "図書館法",
) -> System:
    """Return a system with a domain that reads what is given."""
    domain = Domain(id_, scope, (), rules_of((), {}, ""), basis, reads=reads)
    return System(id_, "図書館", scope, submission_schema(id_) if owns else None, domain, owns=owns)


def faults_of(*systems: System) -> list[str]:
    """Return the faults of these systems and no others."""
    return content_faults({each.id: each for each in systems})


LOAN = entity()
GOOD = system(reading(LOAN), owns=(LOAN,))


def test_the_declared_systems_have_no_fault() -> None:
    """None in the declarations themselves."""
    assert content_faults() == []


def test_a_good_system_has_no_fault_but_missing_files() -> None:
    """Each missing Avro file is named, with the command that writes it."""
    assert faults_of(GOOD) == []
    assert declaration_faults({"library": GOOD}) == [
        f"library: schemas/avro/{name}-library/v1.avsc is not written yet: run `mesh systems generate`"
        for name in ("submission", "domain")
    ]


def test_avro_files_in_another_package_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has moved to a package of its own has taken them with it."""
    (tmp_path / "domain-library").mkdir()
    monkeypatch.setattr(declaration_checks, "avro_folders", lambda: (tmp_path,))
    (fault,) = faults_of(GOOD)
    assert fault.startswith(f"library: {tmp_path}/domain-library has Avro files, which belong into")


ORPHAN = replace(LOAN, follows=(FollowsEntity("LoanEnded", entity("member"), "serial", "note", ("x",)),))
AGAIN = replace(LOAN, events=(opens("LoanMade", "貸出"),))
NAMING = replace(LOAN, fields=(*LOAN.fields, person_ref("lent_to", "貸出先").optional()))
OF_PARTS = replace(LOAN, key=(PART, "serial"))
UNBASED = Domain("library", Scope.NATIONAL, ("name", "name"), rules_of((), {}, ""), "", paying=True)


@pytest.mark.parametrize(
    ("systems", "sentence"),
    [
        (
            (GOOD, system(owns=(LOAN,), id_="museum")),
            "museum: it owns entity loan, which library owns already",
        ),
        ((system(owns=(LOAN, AGAIN)),), "library: it owns entity loan twice"),
        ((system(reading(LOAN)),), "library: reading loan is of entity loan, which no declared system owns"),
        (
            (GOOD, system(reading(entity(event="LoanMade")), id_="museum")),
            "museum: reading loan has another declaration of entity loan than its owner",
        ),
        (
            (system(reading(LOAN, "loan1"), reading(LOAN, "loan_1"), owns=(LOAN,)),),
            "library: two parts of the schema domain-library have the same name",
        ),
        (
            (System("library", "図書館", Scope.NATIONAL, domain=UNBASED),),
            "library: the schema domain-library has two fields person.name",
        ),
        ((system(reading(LOAN, basis=" "), owns=(LOAN,)),), "reading loan needs a purpose and a legal basis"),
        (
            (System("library", "図書館", Scope.NATIONAL, domain=UNBASED),),
            "library: it receives accounts without an account_basis",
        ),
        (
            (system(owns=(OF_PARTS,)),),
            "library: entity loan has the municipality in its key, but the system is national",
        ),
        (
            (system(reading(ORPHAN), owns=(ORPHAN,)),),
            "library: entity loan follows member, which no declared system owns",
        ),
        (
            (system(replace(reading(LOAN), of=HeldBy(entity("member"))), owns=(LOAN,)),),
            "library: reading loan is about holders of member, which nobody owns",
        ),
        (
            (replace(GOOD, scope=Scope.MUNICIPAL),),
            "library: its domain is library (NATIONAL); id and scope must be those of the system",
        ),
        (
            (system(owns=(NAMING,)), system(Reads("loan", NAMING, ("lent_to",), "貸出", "法"), id_="museum")),
            "museum: reading loan has lent_to, which names another person: only the system that owns loan",
        ),
        ((system(id_="tracker"),), "tracker can't be the id of a system"),
    ],
)
def test_each_fault_is_a_sentence(systems: tuple[System, ...], sentence: str) -> None:
    """It names the system and what is wrong."""
    faults = faults_of(*systems)
    assert any(sentence in fault for fault in faults), faults


@pytest.mark.parametrize("coverage", [HeldBy(LOAN), Enrolled()])
def test_whom_a_reading_is_about_can_be_written_out(coverage: Coverage) -> None:
    """The holders, as by default, or the enrolled."""
    assert faults_of(system(replace(reading(LOAN), of=coverage), owns=(LOAN,))) == []


@pytest.mark.parametrize("derived", [RESIDENT, REGISTRATION])
def test_a_derived_entity_belongs_to_the_register(derived: Entity) -> None:
    """Without the system that derives it, nothing is known about it."""
    scope = Scope.MUNICIPAL if derived.by_part else Scope.NATIONAL
    reading_of = Reads("resident", derived, ("name",), "名簿", "図書館法", of=Enrolled())
    reader = system(reading_of, scope=scope)
    assert content_faults({**SYSTEMS, "library": reader}) == []
    assert faults_of(reader) == [
        f"library: reading resident is of entity {derived.id}, which no declared system owns"
    ]


@pytest.mark.parametrize(
    ("before", "is_good"),
    [
        (["event", "serial", "note"], True),
        (["event", "serial"], True),
        (["event", "note"], False),
        (["event", "note", "serial"], False),
    ],
)
def test_a_field_is_added_at_the_end(
    monkeypatch: pytest.MonkeyPatch, before: list[str], is_good: bool
) -> None:
    """Events are stored with their values in the order of the fields: otherwise each would be of another one."""
    released = json.dumps({"fields": [{"name": name} for name in before]})
    monkeypatch.setattr(declaration_checks, "schema_names", lambda: ("submission-library",))
    monkeypatch.setattr(declaration_checks, "versions", lambda name: (1,))
    monkeypatch.setattr(declaration_checks, "schema_text", lambda name, number: released)
    faults = faults_of(system(reading(LOAN), owns=(LOAN,)))
    assert [
        fault for fault in faults if "in another order than version 1 of submission-library" in fault
    ] == faults
    assert (faults == []) is is_good


def test_rules_and_enrolments_need_a_basis() -> None:
    """Of their own, or the domain's."""
    rules = dict(rules_of((), {}, "")) | {Reason.MOVED_WITHIN: Rule(Action.UPDATE)}
    domain = Domain("library", Scope.NATIONAL, (), rules, "", enrolment=Rule(Action.NONE))
    faults = faults_of(System("library", "図書館", Scope.NATIONAL, domain=domain))
    assert faults == [
        "library: the rule of 転居 has no legal basis",
        "library: the enrolment has no legal basis",
    ]
    based = replace(domain, legal_basis="図書館法")
    assert faults_of(System("library", "図書館", Scope.NATIONAL, domain=based)) == [
        "library: the enrolment has no legal basis"
    ]


@pytest.mark.parametrize("id_", [*SYSTEMS, "library", "tax-aid", "a1"])
def test_good_ids(id_: str) -> None:
    """Those of today's systems among them."""
    assert id_fault(id_) is None


@pytest.mark.parametrize(
    "id_",
    [
        "", "Library", "tax_aid", "-a", "a--b", "1a", "図書館", "a.b", "intake", "fan-out", "admin", "auditor", "mesh",
        "me", "digest", "dead-letter", "sink", "sink-card", "pg", "pg-a", "public", "care-municipality", "care-131041",
    ],
)  # fmt: skip
def test_ids_that_the_mesh_uses_itself(id_: str) -> None:
    """Users, logins, keys, steps, and groups of consumers; and what is no id at all."""
    assert id_fault(id_) is not None


@pytest.mark.parametrize("scope", list(Scope))
def test_the_first_file_has_no_fault(scope: Scope) -> None:
    """Neither of a national nor of a municipal system; it fits into the lines of this repository."""
    written = first_file("tax-aid", scope, "給付金")
    names: dict[str, object] = {}
    exec(compile(written, "tax_aid.py", "exec"), names)  # noqa: S102 - it is what the module itself does
    declared = names["SYSTEM"]
    assert isinstance(declared, System)
    assert faults_of(declared) == []
    assert max(map(len, written.splitlines())) <= 110


YEARLY = Entity(
    "fee",
    "料金",
    (digits("year", "年", 4), text("note", "備考", 10).optional()),
    (opens("FeeSet", "決定", "note"), closes("FeeWaived", "免除")),
    key=(PART, "year"),
)
OF_RESIDENCE = OfResidenceOn(1, 1, "year")


@pytest.mark.parametrize(
    ("key", "rule", "sentence"),
    [
        (("year",), OF_RESIDENCE, "must have that and the year in its key"),
        ((PART, "year"), OfResidenceOn(1, 1, PART), "must have that and the year in its key"),
        ((PART, "year", "word"), OfResidenceOn(1, 1, "word"), "word must have 4 digits, as a year has"),
        ((PART, "year"), OfResidenceOn(2, 29, "year"), "day 29 of month 2 isn't in every year"),
        ((PART, "year"), OfResidenceOn(13, 1, "year"), "day 1 of month 13 isn't in every year"),
    ],
)
def test_a_day_of_residence_that_makes_no_sense_is_refused(
    key: tuple[str, ...], rule: OfResidenceOn, sentence: str
) -> None:
    """As soon as it is declared."""
    word = text("word", "語", 10)
    fields = (digits("year", "年", 4), word if "word" in key else word.optional())
    with pytest.raises(DeclarationError, match=sentence):
        Entity("fee", "料金", fields, (opens("FeeSet", "決定"),), key, (rule,))


def test_a_municipal_domain_reads_residents_as_holders_only() -> None:
    """Each row must belong to a municipality: that of the entity, or that of what the holder holds."""
    yearly = replace(YEARLY, invariants=(OF_RESIDENCE,))
    held = Reads("payer", RESIDENT, ("name",), "送付", "水道法", of=HeldBy(yearly))
    assert faults_of(system(held, owns=(yearly,), scope=Scope.MUNICIPAL), SYSTEMS["juki"]) == []
    with pytest.raises(
        DeclarationError, match="reading payer is of resident, which no municipality has, and not"
    ):
        system(replace(held, of=None), owns=(yearly,), scope=Scope.MUNICIPAL)
    with pytest.raises(
        DeclarationError, match="reading fee is of fee, which each municipality has for itself"
    ):
        system(Reads("fee", yearly, ("note",), "管理", "水道法"))
