"""The step: what is said of items, learned from and decided upon."""
