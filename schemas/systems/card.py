"""カード管理: My Number cards, and the data printed on them; has rows of enrolled residents and of cards."""

from schemas.declare import (
    AtMostOneInForce,
    Cause,
    Entity,
    Expires,
    FinalValue,
    Follows,
    Reads,
    changes,
    choice,
    closes,
    day,
    opens,
    text,
)
from schemas.systems import law
from schemas.systems._tables import CARD_COLUMNS, NATIONAL_ENROLLED, moved_abroad, protection
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of, submission_schema

BASIS = law.together(law.NUMBER_ACT_CARD, law.RESIDENT_REGISTER_ACT)

#: What is printed on a card, and written in a signature certificate.
FOUR_FACTS = frozenset({"name", "address", "birth_date", "sex"})

#: At most one card of a person is active. A lost one may be found again, a void one stays void: after a death, also if
#: the death is cancelled; after a move, if it isn't followed by a registration within 31 days, or the card isn't
#: continued within 90 days of the registration.
CARD = Entity(
    "card",
    "個人番号カード",
    key=("serial",),
    fields=(
        text("serial", "製造番号", 32, "^[A-Za-z0-9-]{1,32}$"),
        choice("kind", "種別", "standard", "express", "face-only", "abroad", "residence"),
        choice("state", "状態", "active", "suspended", "lost", "void", "expired"),
        day("expires_on", "有効期限"),
        choice("printed_text", "券面の記載", "current", "to-be-written"),
        choice("use_abroad", "国外継続利用", "yes", "no"),
    ),
    events=(
        opens(
            "CardIssued",
            "交付",
            "kind",
            "expires_on",
            state="active",
            printed_text="current",
            use_abroad="no",
        ),
        changes("CardSuspended", "一時停止", state="suspended"),
        changes("CardLost", "紛失", state="lost"),
        changes("CardFound", "発見", state="active"),
        changes("CardRenewed", "有効期限の変更", "expires_on"),
        changes("CardContinued", "継続利用"),
        changes("CardContinuedAbroad", "国外転出時の継続利用", use_abroad="yes"),
        changes("CardTextOutdated", "券面記載事項の変更", printed_text="to-be-written"),
        changes("CardTextWritten", "券面記載事項の追記", printed_text="current"),
        changes("CardExpired", "期限切れ", state="expired"),
        changes("CardVoided", "失効", state="void"),
        closes("CardReturned", "返納"),
    ),
    invariants=(AtMostOneInForce("state", ("active",)), FinalValue("state", "void")),
    follows=(
        Follows("CardVoided", Cause.DIED, stays=True),
        Follows("CardVoided", Cause.MOVED_ABROAD, where={"use_abroad": ("no",)}),
        Follows("CardVoided", Cause.DEPARTED, after_days=31),
        Follows("CardVoided", Cause.REGISTERED, after_days=90, unless="CardContinued"),
        Follows("CardTextOutdated", Cause.FACTS_CHANGED, FOUR_FACTS),
        Expires("CardExpired", "expires_on"),
    ),
)

DOMAIN = Domain(
    id="card",
    scope=Scope.NATIONAL,
    columns=CARD_COLUMNS,
    rules=rules_of(
        CARD_COLUMNS, NATIONAL_ENROLLED, BASIS, {**moved_abroad(BASIS), **protection(law.PROTECTION)}
    ),
    legal_basis=BASIS,
    history_basis=BASIS,
    enrolment=Rule(Action.OPEN, legal_basis=BASIS),
    reads=(
        Reads(
            "card",
            CARD,
            ("kind", "state", "expires_on", "printed_text", "use_abroad"),
            purpose="個人番号カードの交付・管理",
            basis=law.NUMBER_ACT_CARD,
            history=True,
            history_basis=law.NUMBER_ACT_CARD,
        ),
    ),
)
SYSTEM = System(
    "card",
    "個人番号カード管理",
    Scope.NATIONAL,
    publishes=submission_schema("card"),
    domain=DOMAIN,
    owns=(CARD,),
)
