"""Marks of generated content (EU AI Act, Art. 50(2)): signed credentials, IPTC's field, signed JSON, watermarks."""
