"""The reasons for which intake rejects a submission: every code, with the sentence that a clerk reads.

The order of the codes is roughly the order of the checks; `validate` decides. Sentences name columns, never their
content.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ValidationCode(StrEnum):
    """A short code for each check. Codes are stable, because agencies' programs may rely on them."""

    COLUMNS = "COLUMNS"
    ENCODING = "ENCODING"
    UNREADABLE = "UNREADABLE"
    FORM_NUMBER = "FORM_NUMBER"
    FORM_NOTICE = "FORM_NOTICE"
    FORM_MUNICIPALITY = "FORM_MUNICIPALITY"
    FORM_REASON = "FORM_REASON"
    FORM_EFFECTIVE_ON = "FORM_EFFECTIVE_ON"
    FORM_RECORDED_ON = "FORM_RECORDED_ON"
    PERSONS_OR_HOUSEHOLD = "PERSONS_OR_HOUSEHOLD"
    NEW_NEEDS_PERSONS = "NEW_NEEDS_PERSONS"
    NEW_NEEDS_ALL = "NEW_NEEDS_ALL"
    PERSONS_MANY = "PERSONS_MANY"
    FORM_HOUSEHOLD = "FORM_HOUSEHOLD"
    FORM_LOCAL_NUMBER = "FORM_LOCAL_NUMBER"
    FORM_CODE = "FORM_CODE"
    FORM_NAME = "FORM_NAME"
    FORM_KANA = "FORM_KANA"
    FORM_BIRTH_DATE = "FORM_BIRTH_DATE"
    FORM_SEX = "FORM_SEX"
    FORM_RELATIONSHIP = "FORM_RELATIONSHIP"
    FORM_ADDRESS = "FORM_ADDRESS"
    TO_WITHOUT_HOUSEHOLD = "TO_WITHOUT_HOUSEHOLD"
    FORM_MOVED_FROM = "FORM_MOVED_FROM"
    MOVED_FROM_MISSING = "MOVED_FROM_MISSING"
    FORM_MOVED_TO = "FORM_MOVED_TO"
    MOVED_TO_MISSING = "MOVED_TO_MISSING"
    FORM_PROTECTED = "FORM_PROTECTED"
    FORM_CANCELS = "FORM_CANCELS"
    CANCELS_MISSING = "CANCELS_MISSING"
    CANCELS_UNEXPECTED = "CANCELS_UNEXPECTED"
    FORM_DOMAIN = "FORM_DOMAIN"
    FORM_SINCE = "FORM_SINCE"
    PORTAL_EVENT = "PORTAL_EVENT"
    FORM_EVENT = "FORM_EVENT"
    EVENT_UNKNOWN = "EVENT_UNKNOWN"
    FORM_ACCOUNT = "FORM_ACCOUNT"
    FORM_HOLDER = "FORM_HOLDER"
    FORM_BANK = "FORM_BANK"
    FORM_BRANCH = "FORM_BRANCH"
    FORM_TYPE = "FORM_TYPE"
    FORM_ACCOUNT_NUMBER = "FORM_ACCOUNT_NUMBER"
    FORM_FILE = "FORM_FILE"
    FORM_DAY = "FORM_DAY"
    NOT_SUBMITTER = "NOT_SUBMITTER"
    NOT_DOMAIN = "NOT_DOMAIN"
    ROWS_DIFFER = "ROWS_DIFFER"
    PERSON_REPEATED = "PERSON_REPEATED"
    EFFECTIVE_LATE = "EFFECTIVE_LATE"
    RECORDED_IN_FUTURE = "RECORDED_IN_FUTURE"
    EFFECTIVE_IN_FUTURE = "EFFECTIVE_IN_FUTURE"
    DAY_IN_FUTURE = "DAY_IN_FUTURE"
    TEXT_LONG = "TEXT_LONG"
    OPERATOR_COMMAND = "OPERATOR_COMMAND"

    @property
    def sentence(self) -> str:
        """The reason in Japanese and English."""
        return SENTENCES[self]


SENTENCES: Final[Mapping[ValidationCode, str]] = MappingProxyType(
    {
        ValidationCode.COLUMNS: "行の項目数が19ではありません。 The row does not have the 19 columns.",
        ValidationCode.ENCODING: "文字コードが正しくなく、読み取れません。 The text cannot be decoded.",
        ValidationCode.UNREADABLE: (
            "定められた様式ではなく、読み取れません。 It is not in the agreed format and cannot be read."
        ),
        ValidationCode.FORM_NUMBER: "通番が数字ではありません。 The running number (通番) is not a number.",
        ValidationCode.FORM_NOTICE: (
            "届出番号の形式が違います（英数字とハイフン、32文字まで）。"
            " The notice number (届出番号) is not 1 to 32 letters A-Z a-z, digits and hyphens."
        ),
        ValidationCode.FORM_MUNICIPALITY: (
            "市区町村コードがないか、形式または検査数字が違います。"
            " The municipality code (市区町村コード) is missing, is not six digits, or its check digit is wrong."
        ),
        ValidationCode.FORM_REASON: "異動事由が一覧にありません。 The reason of change (異動事由) is unknown.",
        ValidationCode.FORM_EFFECTIVE_ON: (
            "異動日が実在する日付（YYYY-MM-DD）ではありません。"
            " The day of effect (異動日) is not an existing date in the format YYYY-MM-DD."
        ),
        ValidationCode.FORM_RECORDED_ON: (
            "届出日が実在する日付（YYYY-MM-DD）ではありません。"
            " The day of record (届出日) is not an existing date in the format YYYY-MM-DD."
        ),
        ValidationCode.PERSONS_OR_HOUSEHOLD: (
            "対象者または対象世帯のどちらか一方だけを記載してください。"
            " A notice must name either persons or a household, not both."
        ),
        ValidationCode.NEW_NEEDS_PERSONS: (
            "新たに住民となる人の記載がありません。 The notice does not name the persons who become residents."
        ),
        ValidationCode.NEW_NEEDS_ALL: (
            "新たに住民となる人には、すべての項目が必要です。"
            " Every field is required for a person who becomes a resident."
        ),
        ValidationCode.PERSONS_MANY: "一つの届出の人数が多すぎます。 The notice names too many persons.",
        ValidationCode.FORM_HOUSEHOLD: (
            "世帯番号がないか、形式が違います（数字12桁）。"
            " The household number (世帯番号) is missing or is not 12 digits."
        ),
        ValidationCode.FORM_LOCAL_NUMBER: (
            "宛名番号がないか、形式が違います（数字13桁）。"
            " The addressee number (宛名番号) is missing or is not 13 digits."
        ),
        ValidationCode.FORM_CODE: (
            "住民票コードがないか、形式が違います（数字11桁）。"
            " The resident record code (住民票コード) is missing or is not 11 digits."
        ),
        ValidationCode.FORM_NAME: (
            "氏名がないか、長すぎるか、使えない文字（制御文字、書字方向を変える文字、見えない文字）があります。"
            " The name (氏名) is missing, too long, or has invisible characters (control, direction, zero width)."
        ),
        ValidationCode.FORM_KANA: (
            "氏名カナが全角カタカナの氏と名（間は全角空白一つ）ではありません。"
            " The reading (氏名カナ) is not surname and given name in full-width katakana,"
            " separated by one full-width space."
        ),
        ValidationCode.FORM_BIRTH_DATE: (
            "生年月日が実在する日付（YYYY-MM-DD）ではありません。"
            " The date of birth (生年月日) is not an existing date in the format YYYY-MM-DD."
        ),
        ValidationCode.FORM_SEX: "性別が男・女のどちらでもありません。 The sex (性別) is neither 男 nor 女.",
        ValidationCode.FORM_RELATIONSHIP: (
            "続柄がないか、長すぎるか、使えない文字（制御文字、書字方向を変える文字、見えない文字）があります。"
            " The relationship (続柄) is missing, too long, or has invisible characters"
            " (control, direction, zero width)."
        ),
        ValidationCode.FORM_ADDRESS: (
            "住所がないか、長すぎるか、使えない文字（制御文字、書字方向を変える文字、見えない文字）があります。"
            " The address (住所) is missing, too long, or has invisible characters (control, direction, zero width)."
        ),
        ValidationCode.TO_WITHOUT_HOUSEHOLD: (
            "異動後の内容（to）は、対象世帯とともに記載してください。"
            " The changes (to) are allowed with a household only, not with persons."
        ),
        ValidationCode.FORM_MOVED_FROM: (
            "前住所地コードの形式または検査数字が違います。"
            " The code of the municipality moved from (前住所地コード) is not six digits, or its check digit is wrong."
        ),
        ValidationCode.MOVED_FROM_MISSING: (
            "転入には前住所地コードが必要です。 A move in requires the municipality moved from (前住所地コード)."
        ),
        ValidationCode.FORM_MOVED_TO: (
            "転出先コードの形式または検査数字が違います。"
            " The code of the municipality moved to (転出先コード) is not six digits, or its check digit is wrong."
        ),
        ValidationCode.MOVED_TO_MISSING: (
            "転出には転出先コードが必要です。 A move out requires the municipality moved to (転出先コード)."
        ),
        ValidationCode.FORM_PROTECTED: (
            "支援措置が0・1ではありません。 The protection measure (支援措置) is neither 0 nor 1."
        ),
        ValidationCode.FORM_CANCELS: (
            "取消対象届出番号の形式が違います。"
            " The number of the cancelled notice (取消対象届出番号) is not 1 to 32 letters A-Z a-z, digits and hyphens."
        ),
        ValidationCode.CANCELS_MISSING: (
            "取消には取消対象届出番号が必要です。"
            " A cancellation (取消) requires the number of the cancelled notice (取消対象届出番号)."
        ),
        ValidationCode.CANCELS_UNEXPECTED: (
            "取消対象届出番号は取消にのみ記載できます。"
            " Only a cancellation (取消) may have the number of a cancelled notice (取消対象届出番号)."
        ),
        ValidationCode.FORM_DOMAIN: (
            "業務が、登録を受け付ける業務の一覧にありません。"
            " The domain (業務) is unknown or accepts no enrolments."
        ),
        ValidationCode.FORM_SINCE: (
            "開始日が実在する日付（YYYY-MM-DD）ではありません。"
            " The first day (開始日) is not an existing date in the format YYYY-MM-DD."
        ),
        ValidationCode.PORTAL_EVENT: (
            "登録または口座のどちらか一方だけを記載してください。"
            " An event of the portal must be either an enrolment or an account event, not both."
        ),
        ValidationCode.FORM_EVENT: "口座の異動の種類が違います。 The event of the account is unknown.",
        ValidationCode.EVENT_UNKNOWN: (
            "届出の種類（event）が、提出者の届出の一覧にありません。"
            " The event is missing, or is none of the events that the submitter may submit."
        ),
        ValidationCode.FORM_ACCOUNT: (
            "口座の識別子の形式が違います。"
            " The portal's ID of the account is not 1 to 64 letters A-Z a-z, digits, dots, underscores or hyphens."
        ),
        ValidationCode.FORM_HOLDER: (
            "口座名義が全角カタカナではありません。"
            " The holder's name is not in full-width katakana with one space between words."
        ),
        ValidationCode.FORM_BANK: "金融機関コードが数字4桁ではありません。 The bank code is not 4 digits.",
        ValidationCode.FORM_BRANCH: "支店コードが数字3桁ではありません。 The branch code is not 3 digits.",
        ValidationCode.FORM_TYPE: (
            "口座の種類がないか、長すぎるか、使えない文字（制御文字、書字方向を変える文字、見えない文字）があります。"
            " The account type is missing, too long, or has invisible characters"
            " (control, direction, zero width)."
        ),
        ValidationCode.FORM_ACCOUNT_NUMBER: "口座番号が数字7桁ではありません。 The account number is not 7 digits.",
        ValidationCode.FORM_FILE: (
            "ファイル名に使えない文字（制御文字、書字方向を変える文字、見えない文字）があります。"
            " The name of the file has invisible characters (control, direction, zero width)."
        ),
        ValidationCode.FORM_DAY: (
            "日（day）が実在する日付（YYYY-MM-DD）ではありません。"
            " The day is not an existing date in the format YYYY-MM-DD."
        ),
        ValidationCode.NOT_SUBMITTER: (
            "提出者は、この市区町村について届け出ることができません。"
            " The submitter is not allowed to submit for this municipality."
        ),
        ValidationCode.NOT_DOMAIN: (
            "提出者は、この業務について届け出ることができません。"
            " The submitter is not allowed to submit for this domain."
        ),
        ValidationCode.ROWS_DIFFER: (
            "一つの届出の行の間で、届出に共通の項目が一致しません。"
            " The rows of the notice differ in a column that must be the same in all of them."
        ),
        ValidationCode.PERSON_REPEATED: (
            "同じ人が一つの届出に二度記載されています。 The notice names the same person twice."
        ),
        ValidationCode.EFFECTIVE_LATE: (
            "異動日が届出日から60日を超えて後の日付です。"
            " The day of effect (異動日) is more than 60 days after the day of record (届出日)."
        ),
        ValidationCode.RECORDED_IN_FUTURE: (
            "届出日が、受付日（日本時間）の翌日より後の日付です。"
            " The day of record (届出日) is later than the day after the notice was received (Japan's time)."
        ),
        ValidationCode.EFFECTIVE_IN_FUTURE: (
            "効力を生じる日が、受付日（日本時間）から60日を超えて後の日付です。"
            " The day on which it takes effect is more than 60 days after it was received (Japan's time)."
        ),
        ValidationCode.DAY_IN_FUTURE: (
            "日（day）が、受付日（日本時間）より後の日付です。"
            " The day is later than the day on which it was received (Japan's time)."
        ),
        ValidationCode.TEXT_LONG: (
            "長すぎる項目があります。"
            " A field is longer than a submission may have it, for example the name of its file."
        ),
        ValidationCode.OPERATOR_COMMAND: "職員の操作の内容が不正です。 The operator command is invalid.",
    }
)
