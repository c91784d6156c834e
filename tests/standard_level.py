"""The domains of the standard level: simulation and chaos compare what these receive, topic by topic.

What domains of the high level receive is sealed; `tests/high_level` opens it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.systems import DOMAINS
from schemas.systems.model import Domain

STANDARD_DOMAINS: Final[Mapping[str, Domain]] = {
    id_: domain for id_, domain in DOMAINS.items() if not domain.is_high
}
