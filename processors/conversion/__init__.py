"""Conversion: the only step that replaces the mesh's codes by a domain's own codes, and back.

`processor` routes records to one of two halves, which have nothing in common but the keys. `changes` converts changes
for a domain: `change_columns` makes the domain's columns (`reading_columns` those of declared readings), `disclosures`
the record of each disclosure. `receipts` converts receipts from a domain.
"""

from processors.conversion.processor import ConversionProcessor

__all__ = ["ConversionProcessor"]
