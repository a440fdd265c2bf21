"""Offers an LSL stream of resting EEG's size under a source id, until it is ended."""

from __future__ import annotations

import sys
import time

import numpy as np
import pylsl

NAMES = ("F3", "F4", "C3", "Cz", "C4", "P3", "P4", "Oz")
RATE_HZ = 250.0

info = pylsl.StreamInfo("Outlet", "EEG", len(NAMES), RATE_HZ, "float32", sys.argv[1])
channels = info.desc().append_child("channels")
for label in NAMES:
    channel = channels.append_child("channel")
    channel.append_child_value("label", label)
    channel.append_child_value("unit", "microvolts")
    channel.append_child_value("type", "EEG")
outlet = pylsl.StreamOutlet(info)
print("up", flush=True)
rng = np.random.default_rng(0)
last = np.zeros(len(NAMES))
began_s = time.monotonic()
made = 0
while time.monotonic() - began_s < 120.0:
    while made < int((time.monotonic() - began_s) * RATE_HZ):
        last = 0.95 * last + rng.normal(0.0, 3.0, len(NAMES))
        outlet.push_sample(last.tolist(), pylsl.local_clock())
        made += 1
    time.sleep(0.004)
