"""Decoders for the decoder's process."""

import os
import time

import numpy as np


class Counts:
    def push(self, block):
        return [(block.end, {"right": float(block.first), "rest": 0.0}, True)]


class Raises:
    def push(self, block):
        raise np.linalg.LinAlgError("not positive definite")


class SaysNoNumber:
    def push(self, block):
        return [(block.end, {"right": float("nan")}, True)]


class Dies:
    def push(self, block):
        os._exit(11)


class Sleeps:
    def push(self, block):
        time.sleep(3600)


class CannotBeMade:
    def __init__(self):
        raise FileNotFoundError("no model 7")


class NeverThere:
    def __init__(self):
        os._exit(1)
