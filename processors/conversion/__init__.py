"""Conversion: the only step that goes from the mesh's codes to a domain's own, and back.

`processor` is the step; `changes` writes what a domain is told, `disclosures` the record of it, `receipts` comes back.
"""

from processors.conversion.processor import ConversionProcessor

__all__ = ["ConversionProcessor"]
