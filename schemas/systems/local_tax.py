"""地方税: who owes resident tax for a year; has a row of every resident of its municipality, and of who owes it tax.

Pays refunds to the account.
"""

from schemas.declare import (
    PART,
    RESIDENT,
    Entity,
    HeldBy,
    OfResidenceOn,
    Reads,
    changes,
    choice,
    closes,
    digits,
    opens,
    yen,
)
from schemas.reasons import Reason
from schemas.systems import law
from schemas.systems._tables import EVERYWHERE, MUNICIPAL_COLUMNS, protection
from schemas.systems.model import Action, Domain, Scope, System, rules_of, submission_schema

BASIS = law.together(law.RESIDENT_REGISTER_ACT, law.LOCAL_TAX_ACT, law.NUMBER_ACT_USE)

ACTIONS = {
    **EVERYWHERE,
    Reason.FIRST_REGISTERED: Action.OPEN,
    Reason.MOVED_IN: Action.OPEN,
    Reason.MOVED_IN_FROM_ABROAD: Action.OPEN,
    Reason.BORN: Action.OPEN,
    Reason.MOVED_OUT: Action.CLOSE,
    Reason.MOVED_ABROAD: Action.CLOSE,
}

#: Resident tax of a year is assessed by the municipality of residence on 1 January of that year (賦課期日), so by none
#: of a person who had died by then. A later move changes the address of the debtor, and nothing else.
ASSESSMENT = Entity(
    "assessment",
    "住民税の課税",
    key=(PART, "year"),
    fields=(
        digits("year", "賦課年度", 4),
        choice("levy", "課税区分", "levied", "per-capita-only", "exempt", "undeclared"),
        yen("income", "合計所得金額").optional(),
        yen("amount", "年税額"),
        choice("collected", "徴収方法", "ordinary", "payroll", "pension").optional(),
    ),
    events=(
        opens("Assessed", "賦課決定", "levy", "income", "amount", "collected"),
        changes("AssessmentCorrected", "更正", "levy", "income", "amount", "collected"),
        closes("AssessmentWithdrawn", "賦課取消"),
    ),
    invariants=(OfResidenceOn(month=1, day=1, year="year"),),
)

DOMAIN = Domain(
    id="local-tax",
    scope=Scope.MUNICIPAL,
    columns=MUNICIPAL_COLUMNS,
    rules=rules_of(MUNICIPAL_COLUMNS, ACTIONS, BASIS, protection(law.PROTECTION)),
    legal_basis=BASIS,
    history_basis=BASIS,
    paying=True,
    account_basis=law.ACCOUNT_ACT,
    reads=(
        Reads(
            "assessment",
            ASSESSMENT,
            ("levy", "income", "amount", "collected"),
            purpose="住民税の賦課徴収",
            basis=law.LOCAL_TAX_ACT_LEVY,
            history=True,
            history_basis=law.LOCAL_TAX_ACT_LEVY,
        ),
        Reads(
            "taxpayer",
            RESIDENT,
            ("name", "kana", "address"),
            purpose="納税通知書の送付",
            basis=law.together(law.LOCAL_TAX_ACT_LEVY, law.RESIDENT_REGISTER_ACT),
            of=HeldBy(ASSESSMENT),
        ),
    ),
)
SYSTEM = System(
    "local-tax", "地方税", Scope.MUNICIPAL, submission_schema("local-tax"), DOMAIN, owns=(ASSESSMENT,)
)
