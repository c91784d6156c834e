"""自治体中間サーバー: a municipality's copies of facts about which other bodies may ask it; submits nothing.

A copy is a reading of the owner's entity, so it can't become stale unseen: its row has a revision.
"""

from schemas.declare import Reads
from schemas.systems import law
from schemas.systems.local_tax import ASSESSMENT
from schemas.systems.model import Domain, Scope, System, rules_of

DOMAIN = Domain(
    id="intermediate-server",
    scope=Scope.MUNICIPAL,
    columns=(),
    rules=rules_of((), {}, ""),
    legal_basis=law.NUMBER_ACT_PROVISION,
    reads=(
        Reads(
            "assessment",
            ASSESSMENT,
            ("levy", "income", "amount"),
            purpose="情報照会への回答",
            basis=law.NUMBER_ACT_PROVISION,
            history=True,
            history_basis=law.NUMBER_ACT_PROVISION,
        ),
    ),
)
SYSTEM = System("intermediate-server", "自治体中間サーバー", Scope.MUNICIPAL, domain=DOMAIN)
