"""住基CS: the gateway server that delivers a resident register's notices as CSV files."""

from schemas.systems.model import Scope, System

SYSTEM = System(
    "juki-cs",
    "住基コミュニケーションサーバー",
    Scope.MUNICIPAL,
    publishes="juki-cs-notice",
    digest_purpose="juki-cs",
)
