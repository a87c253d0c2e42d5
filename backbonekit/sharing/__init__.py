"""Floor 9: open anything as a model, and share a saved one. Import the file you need."""
