"""The source of juki-cs: files of a register's gateway server (CSV, one row per person of a notice)."""

from connectors.juki_cs.source import JukiCsSource

__all__ = ["JukiCsSource"]
