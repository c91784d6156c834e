"""All tests: unit, contract, property and integration; may import everything, imported by nothing."""
