"""Contract tests: the suites that every source and every sink must pass."""
