"""Tests of kind: property."""
