"""The acts and articles on which the rules are based, as the disclosure records show them to the resident.

If the article could not be verified, the constant names the act alone.
"""

from __future__ import annotations

from typing import Final

#: 行政手続における特定の個人を識別するための番号の利用等に関する法律: use, and provision through the network.
NUMBER_ACT_USE: Final = "番号法（平成25年法律第27号）第9条第1項・別表"
NUMBER_ACT_PROVISION: Final = "番号法（平成25年法律第27号）第19条第8号"
NUMBER_ACT_CARD: Final = "番号法（平成25年法律第27号）第17条"
NUMBER_ACT_PORTAL: Final = "番号法（平成25年法律第27号）附則第6条"

RESIDENT_REGISTER_ACT: Final = "住民基本台帳法（昭和42年法律第81号）"
#: Provision of resident records to national bodies.
RESIDENT_REGISTER_ACT_NATIONAL: Final = "住民基本台帳法（昭和42年法律第81号）第30条の9・別表第一"
PROTECTION: Final = "住民基本台帳法（昭和42年法律第81号）・住民基本台帳事務処理要領（支援措置）"

#: 電子署名等に係る地方公共団体情報システム機構の認証業務に関する法律: issue and revocation of certificates.
PUBLIC_CERTIFICATION_ACT: Final = "公的個人認証法（平成14年法律第153号）第12条・第31条"

#: 生活保護法: who is responsible for whom, decisions and their execution, and inquiries about means.
PUBLIC_ASSISTANCE_ACT_DUTY: Final = "生活保護法（昭和25年法律第144号）第19条"
PUBLIC_ASSISTANCE_ACT: Final = "生活保護法（昭和25年法律第144号）第19条・第24条・第25条・第26条"
PUBLIC_ASSISTANCE_ACT_INQUIRY: Final = "生活保護法（昭和25年法律第144号）第29条"

LOCAL_TAX_ACT: Final = "地方税法（昭和25年法律第226号）"
#: Who is taxed by which municipality, and the day by which that is judged.
LOCAL_TAX_ACT_LEVY: Final = "地方税法（昭和25年法律第226号）第294条・第318条"
CHILD_ALLOWANCE_ACT: Final = "児童手当法（昭和46年法律第73号）"
CARE_INSURANCE_ACT: Final = "介護保険法（平成9年法律第123号）"
#: Premiums, whose steps depend on whether resident tax is levied.
CARE_INSURANCE_ACT_PREMIUM: Final = "介護保険法（平成9年法律第123号）第129条"
NATIONAL_PENSION_ACT: Final = "国民年金法（昭和34年法律第141号）"
NATIONAL_TAX_ACT: Final = "国税通則法（昭和37年法律第66号）"

#: 公的給付の支給等の迅速かつ確実な実施のための預貯金口座の登録等に関する法律
ACCOUNT_ACT: Final = "公金受取口座登録法（令和3年法律第38号）"


def together(*bases: str) -> str:
    """Join several acts that are the basis of one rule."""
    return "、".join(bases)
