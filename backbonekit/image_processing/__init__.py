"""Floor 4: images and targets to the batch that a model takes."""
