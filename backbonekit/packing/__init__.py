"""Floor 7: recipe, tensors and processing to and from a folder. Import the file you need."""
