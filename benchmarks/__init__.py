"""Speed and memory side by side with transformers, in one run, as ratios."""
