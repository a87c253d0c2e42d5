"""Floor 4: pictures to inputs, and under `after/` answers to results in each picture's own pixels."""
