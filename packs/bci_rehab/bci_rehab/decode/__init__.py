"""From samples to intentions: estimators, evidence, and the guard of what changes them."""
