"""The station beside the patient: holds amplifier, decoder and actuator of one live session."""
