"""マイナポータル: messages to enrolled residents, and the ledger of their accounts; no rows of persons."""

from schemas.declare import ACCOUNT
from schemas.reasons import JAPANESE, Reason
from schemas.systems import law
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of

DOMAIN = Domain(
    id="portal",
    scope=Scope.NATIONAL,
    columns=(),
    rules=rules_of((), {}, ""),
    legal_basis=law.NUMBER_ACT_PORTAL,
    enrolment=Rule(Action.NONE, legal_basis=law.NUMBER_ACT_PORTAL),
    account_basis=law.ACCOUNT_ACT,
    # A message about a death would go to the person who died. Others may read a resident's portal, so it says nothing
    # about protection measures.
    message_on=frozenset(JAPANESE) - {Reason.DIED, Reason.PROTECTION_BEGUN, Reason.PROTECTION_ENDED},
)
SYSTEM = System(
    "portal",
    "マイナポータル",
    Scope.NATIONAL,
    publishes="portal-event",
    domain=DOMAIN,
    derives=(ACCOUNT,),
)
