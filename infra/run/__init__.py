"""`mesh run`: builds the workers, one process per step and slot, and keeps them running."""
