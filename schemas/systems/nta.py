"""国税（国税庁）: has rows of enrolled residents."""

from schemas.systems import law
from schemas.systems._tables import NATIONAL_COLUMNS, NATIONAL_ENROLLED, moved_abroad, protection
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of

BASIS = law.together(law.NATIONAL_TAX_ACT, law.RESIDENT_REGISTER_ACT_NATIONAL, law.NUMBER_ACT_USE)

DOMAIN = Domain(
    id="nta",
    scope=Scope.NATIONAL,
    columns=NATIONAL_COLUMNS,
    rules=rules_of(
        NATIONAL_COLUMNS, NATIONAL_ENROLLED, BASIS, {**moved_abroad(BASIS), **protection(law.PROTECTION)}
    ),
    legal_basis=BASIS,
    history_basis=BASIS,
    enrolment=Rule(Action.OPEN, legal_basis=BASIS),
)
SYSTEM = System("nta", "国税", Scope.NATIONAL, publishes="enrolment", domain=DOMAIN)
