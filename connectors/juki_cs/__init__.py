"""juki-cs: files of the gateway server (CSV, a row per person of a notice)."""

from connectors.juki_cs.source import JukiCsSource

__all__ = ["JukiCsSource"]
