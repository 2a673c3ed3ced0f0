"""The code behind ./bazaar: local servers, their supervisor, and one file a command."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The project's folder."""


class ExpectedFailure(Exception):
    """Something the person at the keyboard can put right; the message is one plain sentence."""
