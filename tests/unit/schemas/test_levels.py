"""The high level in declarations: what depends on it is of it, and says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from schemas.declare import (
    PART,
    REGISTRATION,
    ByResidence,
    DeclarationError,
    Entity,
    FollowsEntity,
    HeldBy,
    Level,
    Reads,
    closes,
    opens,
    text,
)
from schemas.reasons import Reason
from schemas.systems.model import (
    SEALED_RECORD,
    Action,
    Domain,
    Rule,
    Scope,
    System,
    rules_of,
    submission_schema,
)

pytestmark = pytest.mark.unit

SECRET = Entity(
    "secret",
    "秘密",
    (text("serial", "番号", 10),),
    (opens("SecretBegan", "開始"), closes("SecretEnded", "終了")),
    key=("serial",),
    level=Level.HIGH,
)
PLAIN = replace(SECRET, id="plain", events=(opens("PlainBegan", "開始"),), level=Level.STANDARD)
#: What a type checker would refuse, which isn't run by everybody who declares.
AS_TEXT: Any = "HIGH"
OWN = Reads("own", SECRET, (), purpose="目的", basis="法")


def domain(*reads: Reads, level: Level = Level.HIGH, **others: Any) -> Domain:
    """Return a domain with these readings."""
    plain = Domain("secret", Scope.NATIONAL, (), rules_of((), {}, ""), "法", reads=reads, level=level)
    return replace(plain, **others) if others else plain


def system(*owns: Entity, domain: Domain | None) -> System:
    """Return a system that owns these entities."""
    return System("secret", "秘密", Scope.NATIONAL, submission_schema("secret"), domain, owns=owns)


def test_a_system_of_the_high_level() -> None:
    """Its topics are sealed, and nothing beside them says whom they are about."""
    declared = system(SECRET, domain=domain(OWN))
    assert declared.is_high
    assert declared.domain is not None
    assert declared.domain.topic_schema == SEALED_RECORD
    assert not declared.domain.has_receipts
    assert not declared.domain.has_withdrawals
    located = domain(replace(OWN, entity=SECRET, columns=()), level=Level.HIGH)
    assert not located.has_withdrawals


def follow(entity: Entity) -> Entity:
    """Return an entity that follows another."""
    return replace(PLAIN, follows=(FollowsEntity("PlainBegan", entity, "serial", "serial", ("x",)),))


@pytest.mark.parametrize(
    "declare",
    [
        lambda: domain(OWN, level=Level.STANDARD),
        lambda: domain(Reads("plain", PLAIN, (), "目的", "法", HeldBy(SECRET)), level=Level.STANDARD),
        lambda: domain(Reads("plain", PLAIN, (), "目的", "法")),
        lambda: domain(OWN, enrolment=Rule(Action.OPEN)),
        lambda: domain(OWN, columns=("name",)),
        lambda: domain(OWN, account_basis="法"),
        lambda: domain(OWN, message_on=frozenset({Reason.DIED})),
        lambda: domain(OWN, rules=rules_of(("name",), {Reason.DIED: Action.CLOSE}, "法")),
        lambda: replace(OWN, history=True, history_basis="法"),
        lambda: system(SECRET, PLAIN, domain=domain(OWN)),
        lambda: system(SECRET, domain=domain(level=Level.STANDARD)),
        lambda: follow(SECRET),
        lambda: replace(REGISTRATION, level=Level.HIGH),
        lambda: replace(SECRET, level=AS_TEXT),
        lambda: replace(domain(), level=AS_TEXT),
        lambda: replace(
            SECRET,
            fields=(),
            key=(PART,),
            follows=(ByResidence("SecretBegan", "SecretEnded", from_age=0),),
        ),
    ],
)
def test_what_would_show_it_is_refused(declare: Callable[[], object]) -> None:
    """With a sentence that names what must be of the level, or may not be."""
    with pytest.raises(DeclarationError, match="level"):
        declare()


def test_who_reads_it_may_be_another_domain_of_the_level() -> None:
    """Also of another entity, as long as it is about the holders."""
    of_holders = Reads("plain", PLAIN, (), "目的", "法", HeldBy(SECRET))
    assert domain(of_holders, replace(OWN, name="secret")).is_high
    assert follow(PLAIN).level is Level.STANDARD
