"""A plain reference model: what the stores must hold after a folder of files handed over.

It shares no code with the processors, connectors or streams it is held against (import-linter sees to
that), keeps everything in memory and prefers the obvious to the fast. Its sources are the rules in the samples'
README and in docs/accounts.md, nothing else.
"""

from infra.verification.reference.compare import Actual, Difference, compare
from infra.verification.reference.reference_model import Expected, expected

__all__ = ["Actual", "Difference", "Expected", "compare", "expected"]
