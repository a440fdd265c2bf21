"""From samples to intentions: estimators, evidence, adaptation, transfer."""
