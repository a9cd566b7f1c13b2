"""The command line: arguments to requests, results to text."""

from __future__ import annotations


def main() -> int:
    """Run one command; return its exit code."""
    return 125
