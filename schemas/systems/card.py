"""カード管理: the data printed on a My Number card; has rows of enrolled residents."""

from schemas.systems import law
from schemas.systems._tables import CARD_COLUMNS, NATIONAL_ENROLLED, moved_abroad, protection
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of

BASIS = law.together(law.NUMBER_ACT_CARD, law.RESIDENT_REGISTER_ACT)

DOMAIN = Domain(
    id="card",
    scope=Scope.NATIONAL,
    columns=CARD_COLUMNS,
    rules=rules_of(
        CARD_COLUMNS, NATIONAL_ENROLLED, BASIS, {**moved_abroad(BASIS), **protection(law.PROTECTION)}
    ),
    legal_basis=BASIS,
    enrolment=Rule(Action.OPEN, legal_basis=BASIS),
)
SYSTEM = System("card", "個人番号カード管理", Scope.NATIONAL, publishes="enrolment", domain=DOMAIN)
