"""介護（介護保険）: has rows of enrolled residents; after a move the new insurer gets a candidate."""

from schemas.systems import law
from schemas.systems._tables import MUNICIPAL_COLUMNS, MUNICIPAL_ENROLLED, protection
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of

BASIS = law.together(law.CARE_INSURANCE_ACT, law.NUMBER_ACT_USE, law.NUMBER_ACT_PROVISION)

DOMAIN = Domain(
    id="care",
    scope=Scope.MUNICIPAL,
    columns=MUNICIPAL_COLUMNS,
    rules=rules_of(MUNICIPAL_COLUMNS, MUNICIPAL_ENROLLED, BASIS, protection(law.PROTECTION)),
    legal_basis=BASIS,
    enrolment=Rule(Action.OPEN, legal_basis=BASIS),
)
SYSTEM = System("care", "介護保険", Scope.MUNICIPAL, publishes="enrolment", domain=DOMAIN)
