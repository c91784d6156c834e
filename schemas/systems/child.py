"""児童（児童手当）: has rows of enrolled residents; a birth or a move in creates a candidate; pays to the account."""

from schemas.reasons import Reason
from schemas.systems import law
from schemas.systems._tables import MUNICIPAL_COLUMNS, MUNICIPAL_ENROLLED, protection
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of

BASIS = law.together(law.CHILD_ALLOWANCE_ACT, law.NUMBER_ACT_USE, law.NUMBER_ACT_PROVISION)

ACTIONS = {**MUNICIPAL_ENROLLED, Reason.BORN: Action.OPEN_CANDIDATE}

DOMAIN = Domain(
    id="child",
    scope=Scope.MUNICIPAL,
    columns=MUNICIPAL_COLUMNS,
    rules=rules_of(MUNICIPAL_COLUMNS, ACTIONS, BASIS, protection(law.PROTECTION)),
    legal_basis=BASIS,
    history_basis=BASIS,
    enrolment=Rule(Action.OPEN, legal_basis=BASIS),
    paying=True,
    account_basis=law.ACCOUNT_ACT,
)
SYSTEM = System("child", "児童手当", Scope.MUNICIPAL, publishes="enrolment", domain=DOMAIN)
