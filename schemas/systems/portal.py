"""マイナポータル: no facts; messages to enrolled residents, and the ledger of their accounts."""

from schemas.reasons import JAPANESE, Reason
from schemas.systems import law
from schemas.systems.model import MESSAGE_COLUMNS, Action, Coverage, Domain, Rule, Scope, System, rules_of

DOMAIN = Domain(
    id="portal",
    scope=Scope.NATIONAL,
    columns=(),
    holds=Coverage.NONE,
    rules=rules_of((), {}, ""),
    legal_basis=law.NUMBER_ACT_PORTAL,
    enrolment=Rule(Action.NONE, MESSAGE_COLUMNS, law.NUMBER_ACT_PORTAL),
    account_basis=law.ACCOUNT_ACT,
    # A message of a death concerns the dead: nobody would read it.
    message_on=frozenset(JAPANESE) - {Reason.DIED},
)
SYSTEM = System("portal", "マイナポータル", Scope.NATIONAL, publishes="portal-event", domain=DOMAIN)
