"""Events of any system as JSON Lines: what a program publishes that has no Kafka client of its own."""

from connectors.events.source import EventsSource

__all__ = ["EventsSource"]
