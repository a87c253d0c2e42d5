"""Floor 1: what the parts agree on. Import the file you need; this package imports nothing by itself."""
