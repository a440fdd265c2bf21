"""The clinic: patients, consent, prescriptions, sessions and outcomes, on the portal's pages.

Runs in the platform's own process, so nothing here imports a library of signals.
"""
