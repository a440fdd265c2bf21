"""Offers an LSL stream until it is ended: source id, name, rate, unit, and seconds to keep silent.

Sample k carries k in each channel, so that a reader sees what it got.
"""

from __future__ import annotations

import sys
import time

import pylsl

source_id, name, rate_hz, unit = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
silent_s = float(sys.argv[5]) if len(sys.argv) > 5 else 0.0
info = pylsl.StreamInfo(name, "EEG", 4, rate_hz, "float32", source_id)
channels = info.desc().append_child("channels")
for label in ("C3", "Cz", "C4", "EOG1"):
    channel = channels.append_child("channel")
    channel.append_child_value("label", label)
    channel.append_child_value("unit", unit)
outlet = pylsl.StreamOutlet(info)
print("up", flush=True)
began_s = time.monotonic()
made = 0
while time.monotonic() - began_s < 60.0:
    due = int((time.monotonic() - began_s) * rate_hz) if rate_hz else 0
    while made < due:
        # Samples 300 to 400 are left out after their time: a hole in the stamps.
        if not (silent_s and 300 <= made < 300 + silent_s * rate_hz):
            outlet.push_sample([float(made)] * 4, pylsl.local_clock())
        made += 1
    time.sleep(0.004)
