"""介護（介護保険）: who is insured, and for which level of care; rows of enrolled residents.

Of the tax that its municipality assesses it learns whether the insured are exempt, for the step of the premium. After a
move the new insurer gets a candidate.
"""

from schemas.declare import (
    PART,
    ByResidence,
    Coarser,
    Entity,
    Expires,
    HeldBy,
    OneOf,
    Reads,
    TakesOver,
    changes,
    choice,
    closes,
    day,
    opens,
)
from schemas.systems import law
from schemas.systems._tables import MUNICIPAL_COLUMNS, MUNICIPAL_ENROLLED, protection
from schemas.systems.local_tax import ASSESSMENT
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of, submission_schema

BASIS = law.together(law.CARE_INSURANCE_ACT, law.NUMBER_ACT_USE, law.NUMBER_ACT_PROVISION)

#: Everybody is insured from the day before the 65th birthday on, by the municipality of residence; who moves into an
#: institution elsewhere stays insured by the municipality of before (住所地特例).
INSURANCE = Entity(
    "care-insurance",
    "介護保険の資格",
    key=(PART,),
    fields=(choice("institution_elsewhere", "住所地特例", "yes", "no"),),
    events=(
        opens("CareInsured", "資格取得", institution_elsewhere="no"),
        changes("InstitutionEntered", "住所地特例の適用", institution_elsewhere="yes"),
        changes("InstitutionLeft", "住所地特例の終了", institution_elsewhere="no"),
        closes("CareUninsured", "資格喪失"),
    ),
    follows=(
        ByResidence(
            opens="CareInsured",
            closes="CareUninsured",
            from_age=65,
            closes_after_days=1,
            keeps=("institution_elsewhere", "yes"),
        ),
    ),
)

_LEVELS = ("support-1", "support-2", "care-1", "care-2", "care-3", "care-4", "care-5")

#: Who applies within 14 days after a move is certified as before for six months (受給資格証明, 介護保険法第36条).
CERTIFICATION = Entity(
    "care-certification",
    "要介護認定",
    key=(PART,),
    fields=(
        choice("care_level", "要介護状態区分", *_LEVELS),
        day("certified_until", "認定有効期間満了日"),
    ),
    events=(
        opens("CareCertified", "認定", "care_level", "certified_until"),
        changes("CareLevelChanged", "区分変更", "care_level", "certified_until"),
        closes("CareCertificationEnded", "認定の終了"),
        opens("CareCertificationTakenOver", "転入者の認定").taking_over(
            TakesOver(
                ("care_level",),
                "CareCertificationEnded",
                within_days=14,
                last_day="certified_until",
                months=6,
            )
        ),
    ),
    follows=(Expires("CareCertificationEnded", "certified_until"),),
)

DOMAIN = Domain(
    id="care",
    scope=Scope.MUNICIPAL,
    columns=MUNICIPAL_COLUMNS,
    rules=rules_of(MUNICIPAL_COLUMNS, MUNICIPAL_ENROLLED, BASIS, protection(law.PROTECTION)),
    legal_basis=BASIS,
    history_basis=BASIS,
    enrolment=Rule(Action.OPEN, legal_basis=BASIS),
    reads=(
        Reads(
            "insurance",
            INSURANCE,
            ("institution_elsewhere",),
            purpose="被保険者の資格管理",
            basis=law.CARE_INSURANCE_ACT,
            history=True,
            history_basis=law.CARE_INSURANCE_ACT,
        ),
        Reads(
            "certification",
            CERTIFICATION,
            ("care_level", "certified_until"),
            purpose="要介護認定",
            basis=law.CARE_INSURANCE_ACT,
            history=True,
            history_basis=law.CARE_INSURANCE_ACT,
        ),
        Reads(
            "resident_tax",
            ASSESSMENT,
            (
                Coarser(
                    "levy",
                    OneOf(
                        {
                            "yes": ("exempt",),
                            "no": ("levied", "per-capita-only"),
                            "undeclared": ("undeclared",),
                        }
                    ),
                    "exempt",
                    "住民税非課税",
                ),
            ),
            purpose="保険料段階の判定",
            basis=law.together(law.CARE_INSURANCE_ACT_PREMIUM, law.NUMBER_ACT_USE),
            of=HeldBy(INSURANCE),
        ),
    ),
)
SYSTEM = System(
    "care",
    "介護保険",
    Scope.MUNICIPAL,
    submission_schema("care"),
    DOMAIN,
    owns=(INSURANCE, CERTIFICATION),
)
