"""生活保護: who is on public assistance, for which aids, and who belongs to whose case; the facts of these persons.

A case is a household: what happens to it is submitted with all its members. Its office keeps the case of somebody who
is registered in its municipality, or has no home and is found there (生活保護法第19条). That somebody is in a case must
not be seen by anybody else, so all of it is at the high level.
"""

from schemas.declare import (
    PART,
    REGISTRATION,
    AtMostOneInForce,
    Cause,
    Coarser,
    Entity,
    Follows,
    HeldBy,
    Level,
    OneOf,
    Reads,
    changes,
    choice,
    closes,
    flags,
    opens,
    person_ref,
    text,
)
from schemas.systems import law
from schemas.systems._tables import MUNICIPAL_COLUMNS
from schemas.systems.local_tax import ASSESSMENT
from schemas.systems.model import Domain, Scope, System, rules_of, submission_schema

#: 生活・教育・住宅・医療・介護・出産・生業・葬祭扶助 (第11条).
_AIDS = ("living", "education", "housing", "medical", "care", "birth", "work", "funeral")

#: A person belongs to one case on a day. A member who dies, or whose registration in the municipality ends, leaves the
#: case by law; the office of the new place takes over somebody who moves, with a case of its own.
ASSISTANCE = Entity(
    "assistance",
    "生活保護",
    key=(PART, "case_number"),
    fields=(
        text("case_number", "ケース番号", 20, "^[A-Za-z0-9-]{1,20}$"),
        flags("kinds", "扶助の種類", *_AIDS),
        person_ref("case_head", "世帯主"),
        choice("state", "状態", "running", "suspended"),
    ),
    events=(
        closes("MemberDied", "世帯員の死亡"),
        closes("MemberMovedAway", "世帯員の転出"),
        closes("MemberLeft", "世帯員の減"),
        closes("AssistanceEnded", "廃止").members(),
        opens("AssistanceBegan", "開始", "kinds", "case_head", state="running").members().anywhere(),
        opens("MemberJoined", "世帯員の増", "kinds", "case_head", state="running").anywhere(),
        changes("KindsChanged", "扶助の変更", "kinds").members(),
        changes("CaseHeadChanged", "世帯主の変更", "case_head").members(),
        changes("AssistanceSuspended", "停止", state="suspended").members(),
        changes("AssistanceResumed", "停止の解除", state="running").members(),
    ),
    invariants=(AtMostOneInForce(),),
    follows=(
        Follows("MemberDied", Cause.DIED),
        Follows("MemberMovedAway", Cause.LEFT),
    ),
    level=Level.HIGH,
)

#: Whether a member owes resident tax. Amounts and incomes are for a question of the office, not for a reading.
_EXEMPT = Coarser(
    "levy",
    OneOf({"yes": ("exempt",), "no": ("levied", "per-capita-only"), "unknown": ("undeclared",)}),
    "exempt",
    "非課税",
)

DOMAIN = Domain(
    id="welfare",
    scope=Scope.MUNICIPAL,
    columns=(),
    rules=rules_of((), {}, ""),
    legal_basis=law.PUBLIC_ASSISTANCE_ACT,
    level=Level.HIGH,
    reads=(
        Reads(
            "assistance",
            ASSISTANCE,
            ("kinds", "case_head", "state"),
            purpose="保護の決定・実施",
            basis=law.PUBLIC_ASSISTANCE_ACT,
        ),
        Reads(
            "resident",
            REGISTRATION,
            ("sex", *MUNICIPAL_COLUMNS),
            purpose="実施責任の確認・世帯の把握",
            basis=law.together(law.PUBLIC_ASSISTANCE_ACT_DUTY, law.NUMBER_ACT_USE),
            of=HeldBy(ASSISTANCE),
        ),
        Reads(
            "assessment",
            ASSESSMENT,
            (_EXEMPT,),
            purpose="資力の調査",
            basis=law.PUBLIC_ASSISTANCE_ACT_INQUIRY,
            of=HeldBy(ASSISTANCE),
        ),
    ),
)
SYSTEM = System(
    "welfare",
    "生活保護",
    Scope.MUNICIPAL,
    publishes=submission_schema("welfare"),
    domain=DOMAIN,
    owns=(ASSISTANCE,),
)
