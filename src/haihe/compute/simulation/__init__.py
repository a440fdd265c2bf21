"""Replay of a trace on a modelled network, and the queue model that predicts a job's start.

Pure: numpy and plain Python, no Django, no clock; only the readers open the path they are given.
The same queue model answers "when would this job start" in production, where it is given small
arrays, and is judged here by back-testing.
"""
