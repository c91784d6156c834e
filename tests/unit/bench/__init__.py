"""What a benchmark makes of what it measured."""
