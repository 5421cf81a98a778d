"""The page of a run: what it did, and what came of it."""
