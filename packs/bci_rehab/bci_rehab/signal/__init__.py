"""From an amplifier to clean blocks of samples: sources, ring, watchdog, filters."""
