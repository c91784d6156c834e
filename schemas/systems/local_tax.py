"""地方税: has a row of every resident of its municipality; pays refunds to the account."""

from schemas.reasons import Reason
from schemas.systems import law
from schemas.systems._tables import EVERYWHERE, MUNICIPAL_COLUMNS, protection
from schemas.systems.model import Action, Domain, Scope, System, rules_of

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

DOMAIN = Domain(
    id="local-tax",
    scope=Scope.MUNICIPAL,
    columns=MUNICIPAL_COLUMNS,
    rules=rules_of(MUNICIPAL_COLUMNS, ACTIONS, BASIS, protection(law.PROTECTION)),
    legal_basis=BASIS,
    paying=True,
    account_basis=law.ACCOUNT_ACT,
)
SYSTEM = System("local-tax", "地方税", Scope.MUNICIPAL, domain=DOMAIN)
