"""A system of the high level in a package of its own, for tests, and the four steps that process it."""
