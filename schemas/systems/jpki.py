"""JPKI（公的個人認証）: signature and authentication certificates on cards, and the four facts of their holders."""

from schemas.declare import (
    RESIDENT,
    Cause,
    Entity,
    Expires,
    FinalValue,
    Follows,
    FollowsEntity,
    HeldBy,
    Reads,
    changes,
    choice,
    closes,
    day,
    opens,
    text,
)
from schemas.systems import law
from schemas.systems.card import CARD, FOUR_FACTS
from schemas.systems.model import Domain, Scope, System, rules_of, submission_schema

_SIGNATURE = {"usage": ("signature",)}

#: Never valid again once it is revoked: a signature certificate by a change of the four facts or a move abroad, both
#: kinds by the holder's death and by a void card; also if the notice that caused it is cancelled.
CERTIFICATE = Entity(
    "certificate",
    "電子証明書",
    key=("certificate_serial",),
    fields=(
        text("certificate_serial", "発行番号", 40, "^[A-Za-z0-9-]{1,40}$"),
        choice("usage", "用途", "signature", "authentication"),
        choice("validity", "状態", "valid", "suspended", "revoked", "expired"),
        day("valid_until", "有効期間満了日"),
        text("on_card", "カードの製造番号", 32, "^[A-Za-z0-9-]{1,32}$"),
    ),
    events=(
        opens("CertificateIssued", "発行", "usage", "valid_until", "on_card", validity="valid"),
        changes("CertificateSuspended", "一時保留", validity="suspended"),
        changes("CertificateResumed", "一時保留の解除", validity="valid"),
        changes("CertificateExpired", "期間満了", validity="expired"),
        changes("CertificateRevoked", "失効", validity="revoked"),
        closes("CertificateDeleted", "削除"),
    ),
    invariants=(FinalValue("validity", "revoked"),),
    follows=(
        Follows("CertificateRevoked", Cause.DIED, stays=True),
        Follows("CertificateRevoked", Cause.MOVED_ABROAD, where=_SIGNATURE, stays=True),
        Follows("CertificateRevoked", Cause.FACTS_CHANGED, FOUR_FACTS, where=_SIGNATURE, stays=True),
        FollowsEntity("CertificateRevoked", CARD, by="on_card", field="state", values=("void",)),
        Expires("CertificateExpired", "valid_until"),
    ),
)

DOMAIN = Domain(
    id="jpki",
    scope=Scope.NATIONAL,
    columns=(),
    rules=rules_of((), {}, ""),
    legal_basis=law.PUBLIC_CERTIFICATION_ACT,
    reads=(
        Reads(
            "certificate",
            CERTIFICATE,
            ("usage", "validity", "valid_until", "on_card"),
            purpose="電子証明書の発行・失効",
            basis=law.PUBLIC_CERTIFICATION_ACT,
            history=True,
            history_basis=law.PUBLIC_CERTIFICATION_ACT,
        ),
        Reads(
            "holder",
            RESIDENT,
            ("name", "address", "birth_date", "sex"),
            purpose="署名用電子証明書の記録事項の確認",
            basis=law.together(law.PUBLIC_CERTIFICATION_ACT, law.RESIDENT_REGISTER_ACT_NATIONAL),
            of=HeldBy(CERTIFICATE),
        ),
    ),
)
SYSTEM = System(
    "jpki", "公的個人認証", Scope.NATIONAL, submission_schema("jpki"), DOMAIN, owns=(CERTIFICATE,)
)
