"""Documents against the code that they describe."""
