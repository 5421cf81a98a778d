"""Scores a generator against held-out real images, in the feature space of a classifier of the same data."""
