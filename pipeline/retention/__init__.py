"""What there is, what of it may go, and its removal."""
