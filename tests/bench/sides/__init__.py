"""The sides of a comparison; each module has a function `run` for a process of its own (see side.py)."""
