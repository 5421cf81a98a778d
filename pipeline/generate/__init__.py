"""Generate: a batch as parts, each a pure function of the order and the part's number."""
