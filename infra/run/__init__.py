"""`mesh run`: builds the workers, one process for each step and slot, and keeps them running."""
