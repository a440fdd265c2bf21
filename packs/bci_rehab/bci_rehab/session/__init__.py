"""A session: its trials, the interlock of the actuator, and the recording."""
