"""Floor 7: a model and pictures to results, and results to files."""
