"""カード管理: what is written on the My Number card of who is enrolled."""

from schemas.systems import law
from schemas.systems._tables import CARD_COLUMNS, NATIONAL_ENROLLED, moved_abroad, protection
from schemas.systems.model import Action, Coverage, Domain, Rule, Scope, System, rules_of

BASIS = law.together(law.NUMBER_ACT_CARD, law.RESIDENT_REGISTER_ACT)

DOMAIN = Domain(
    id="card",
    scope=Scope.NATIONAL,
    columns=CARD_COLUMNS,
    holds=Coverage.ENROLLED,
    rules=rules_of(
        CARD_COLUMNS, NATIONAL_ENROLLED, BASIS, {**moved_abroad(BASIS), **protection(law.PROTECTION)}
    ),
    legal_basis=BASIS,
    enrolment=Rule(Action.OPEN, CARD_COLUMNS, BASIS),
)
SYSTEM = System("card", "個人番号カード管理", Scope.NATIONAL, publishes="enrolment", domain=DOMAIN)
