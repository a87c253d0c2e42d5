"""Floor 9: open anything as a model. Import the file you need."""
