"""Answers to results, one file a kind of answer. `results.to_results` goes by the answer's type."""
