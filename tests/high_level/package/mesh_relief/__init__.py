"""救護: a system of the high level, installed for tests only."""
