"""Real schedulers for tests: each started by a test session that needs it, and ended with it."""

from __future__ import annotations


class NotInstalled(RuntimeError):
    """The machine lacks a part; the message says how to get it."""
