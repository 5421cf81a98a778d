"""What people like: a model of it, learned from what they said, and the choice of items by it."""
