"""Replay of a trace on a modelled network, and the queue model that predicts a job's start.

Pure: numpy and plain Python, no clock; only the readers open the path they are given, and only
``records``, which reads the platform's own tables, knows Django. The same queue model
(``waiting``) answers "when would this job start" in production, where it is given small arrays, and
is judged here by back-testing.
"""
