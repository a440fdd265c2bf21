"""Rules of the programme: what a plan is, when a voucher is granted, how an indicator counts.

All of it is data given in files and evidence; the functions here are pure, so that a decision can
be taken again later from the same facts under the rules of that day.
"""
