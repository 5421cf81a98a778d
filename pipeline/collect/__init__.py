"""Collect items from a source into an immutable snapshot."""
