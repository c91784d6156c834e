"""Sources of JSON Lines: events of any system, for programs without a Kafka client, and a register's notices."""

from connectors.events.source import EventsSource, NoticesSource

__all__ = ["EventsSource", "NoticesSource"]
