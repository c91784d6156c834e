"""Workarounds for librdkafka."""
