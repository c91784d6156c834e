"""住基CS: the gateway server that hands over a register's notices as files."""

from schemas.systems.model import Scope, System

SYSTEM = System("juki-cs", "住基コミュニケーションサーバー", Scope.MUNICIPAL, publishes="juki-cs-notice")
