"""All that knows a medium: decode, inspect, normalise, encode, preview."""
