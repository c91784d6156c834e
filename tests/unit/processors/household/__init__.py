"""Tests of household."""
