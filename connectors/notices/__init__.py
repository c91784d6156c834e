"""Notices that a municipality's own system publishes: JSON Lines, a notice a line."""

from connectors.notices.source import NoticesSource

__all__ = ["NoticesSource"]
