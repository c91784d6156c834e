"""A plain reference model: what the stores must hold after a folder of register files.

It shares no code with the processors, connectors or streams it is held against (import-linter sees to
that), keeps everything in memory and prefers the obvious to the fast. Its source is the rules in the samples'
README, nothing else.
"""

from infra.reference.compare import Actual, Difference, compare
from infra.reference.model import Expected, expected

__all__ = ["Actual", "Difference", "Expected", "compare", "expected"]
