"""Train: shards into a bundle, resumable at any moment."""
