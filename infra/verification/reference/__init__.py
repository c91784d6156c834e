"""A reference model: what the stores must contain after a folder of files was ingested.

It shares no code with the processors, connectors or streams that it is compared with (import-linter enforces that). It
has all data in memory and prefers obvious code to fast code. It implements the rules of docs/rules.md and
docs/accounts.md, and nothing else.
"""

from infra.verification.reference.compare import Actual, Difference, compare
from infra.verification.reference.reference_model import Expected, expected

__all__ = ["Actual", "Difference", "Expected", "compare", "expected"]
