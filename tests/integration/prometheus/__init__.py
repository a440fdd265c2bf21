"""A real Prometheus that reads what this platform tells of itself, and exporters that it reads."""
