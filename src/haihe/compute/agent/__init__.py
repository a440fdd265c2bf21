"""The agent: what an operator runs beside a scheduler, so that a centre joins the network.

It calls the platform and is never called. It knows no Django and no database of the platform's:
what it must not forget is in a journal of its own.
"""
