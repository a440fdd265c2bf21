"""Motor rehabilitation with a brain-computer interface, from the electrodes to the report.

For research and training; not a medical device.
"""
