"""What is told to the operator."""

from __future__ import annotations


class BackupError(Exception):
    """A message for the operator: what is wrong, and what to do."""
