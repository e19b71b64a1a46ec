"""What is told to the operator."""

from __future__ import annotations


class SetupError(Exception):
    """A message for the operator: what is wrong, and what to do."""


class NoAnswerError(SetupError):
    """Nothing answers, and something may a little later."""
