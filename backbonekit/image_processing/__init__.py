"""Floor 4: images to inputs, and under `after/` answers to results in each image's own pixels."""
