"""`make demo`: from nothing to a report, in a place of its own, held row by row against the reference model."""
