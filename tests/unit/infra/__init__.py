"""Unit tests of commands, workers and settings."""
