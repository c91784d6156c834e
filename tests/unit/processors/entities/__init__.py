"""Tests of declared entities."""
