"""救護: a system of the high level, for tests."""

from schemas.declare import (
    PART,
    REGISTRATION,
    Cause,
    Entity,
    Expires,
    Follows,
    HeldBy,
    Level,
    Reads,
    changes,
    choice,
    closes,
    day,
    opens,
    text,
)
from schemas.systems.model import Domain, Scope, System, rules_of, submission_schema

BASIS = "生活保護法（昭和25年法律第144号）第29条"

RELIEF = Entity(
    "relief",
    "救護",
    key=(PART, "file_number"),
    fields=(
        text("file_number", "世帯番号", 20, "^[A-Za-z0-9-]{1,20}$"),
        choice("kind", "種類", "living-aid", "housing-aid"),
        day("until_on", "期限").optional(),
        text("remark", "備考", 2000).optional(),
    ),
    events=(
        opens("ReliefBegan", "開始", "kind", "until_on", "remark"),
        changes("ReliefChanged", "変更", "kind", "until_on", "remark"),
        closes("ReliefEnded", "廃止"),
    ),
    follows=(Follows("ReliefEnded", Cause.DIED), Expires("ReliefEnded", "until_on")),
    level=Level.HIGH,
)

DOMAIN = Domain(
    id="relief",
    scope=Scope.MUNICIPAL,
    columns=(),
    rules=rules_of((), {}, ""),
    legal_basis=BASIS,
    reads=(
        Reads("relief", RELIEF, ("kind", "until_on", "remark"), purpose="決定・実施", basis=BASIS),
        Reads(
            "holder",
            REGISTRATION,
            ("name", "address"),
            purpose="決定・実施",
            basis=BASIS,
            of=HeldBy(RELIEF),
        ),
    ),
    level=Level.HIGH,
)
SYSTEM = System(
    "relief",
    "救護",
    Scope.MUNICIPAL,
    publishes=submission_schema("relief"),
    domain=DOMAIN,
    owns=(RELIEF,),
)
