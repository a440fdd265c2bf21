"""Where electrodes sit: names of the 10-20 and 10-10 systems, and their places on the head.

The synthetic patient mixes its sources with these places, the Laplacian finds neighbours by them,
and pages draw the head with them.

The table is MNE's ``standard_1005`` montage (Oostenveld and Praamstra 2001), brought to the unit
sphere that fits it best: x to the right ear, y to the nose, z to the crown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from bci_rehab.errors import ChannelUnknown
from bci_rehab.signal.blocks import Floats

# fmt: off
_POSITIONS: dict[str, tuple[float, float, float]] = {
    "Fp1": (-0.290, 0.956, -0.052), "Fpz": (-0.007, 1.000, -0.001), "Fp2": (0.276, 0.960, -0.052),
    "AF9": (-0.474, 0.763, -0.439), "AF7": (-0.547, 0.832, -0.089), "AF5": (-0.460, 0.885, 0.075),
    "AF3": (-0.340, 0.913, 0.224), "AF1": (-0.186, 0.925, 0.331), "AFz": (-0.006, 0.934, 0.357),
    "AF2": (0.182, 0.926, 0.330), "AF4": (0.339, 0.913, 0.229), "AF6": (0.452, 0.889, 0.075),
    "AF8": (0.537, 0.839, -0.090), "AF10": (0.472, 0.762, -0.442), "F9": (-0.686, 0.558, -0.467),
    "F7": (-0.767, 0.632, -0.106), "F5": (-0.699, 0.687, 0.198), "F3": (-0.529, 0.717, 0.453),
    "F1": (-0.284, 0.731, 0.620), "Fz": (-0.006, 0.739, 0.674), "F2": (0.287, 0.738, 0.611),
    "F4": (0.527, 0.728, 0.438), "F6": (0.700, 0.689, 0.187), "F8": (0.761, 0.639, -0.110),
    "F10": (0.684, 0.559, -0.469), "FT9": (-0.827, 0.299, -0.476), "FT7": (-0.932, 0.345, -0.109),
    "FC5": (-0.874, 0.389, 0.291), "FC3": (-0.662, 0.421, 0.620), "FC1": (-0.356, 0.429, 0.830),
    "FCz": (-0.005, 0.434, 0.901), "FC2": (0.349, 0.438, 0.828), "FC4": (0.661, 0.429, 0.616),
    "FC6": (0.871, 0.399, 0.288), "FT8": (0.926, 0.361, -0.112), "FT10": (0.822, 0.301, -0.483),
    "T9": (-0.881, 0.003, -0.474), "T7": (-0.996, 0.001, -0.091), "C5": (-0.935, 0.027, 0.354),
    "C3": (-0.708, 0.048, 0.705), "C1": (-0.375, 0.062, 0.925), "Cz": (-0.005, 0.068, 0.998),
    "C2": (0.378, 0.067, 0.924), "C4": (0.712, 0.056, 0.700), "C6": (0.936, 0.038, 0.349),
    "T8": (0.996, 0.013, -0.094), "T10": (0.876, -0.002, -0.483), "TP9": (-0.850, -0.299, -0.434),
    "TP7": (-0.942, -0.329, -0.060), "CP5": (-0.875, -0.331, 0.354), "CP3": (-0.657, -0.315, 0.685),
    "CP1": (-0.348, -0.298, 0.889), "CPz": (-0.005, -0.295, 0.955), "CP2": (0.360, -0.297, 0.885),
    "CP4": (0.665, -0.309, 0.680), "CP6": (0.880, -0.320, 0.350), "TP8": (0.943, -0.328, -0.062),
    "TP10": (0.845, -0.306, -0.439), "P9": (-0.727, -0.567, -0.388), "P7": (-0.788, -0.616, -0.010),
    "P5": (-0.712, -0.629, 0.313), "P3": (-0.535, -0.622, 0.571), "P1": (-0.282, -0.616, 0.736),
    "Pz": (-0.005, -0.611, 0.792), "P2": (0.293, -0.607, 0.739), "P4": (0.540, -0.616, 0.573),
    "P6": (0.709, -0.632, 0.314), "P8": (0.785, -0.619, -0.011), "P10": (0.720, -0.574, -0.391),
    "PO9": (-0.533, -0.782, -0.324), "PO7": (-0.564, -0.824, 0.044), "PO5": (-0.496, -0.837, 0.233),
    "PO3": (-0.372, -0.844, 0.386), "PO1": (-0.198, -0.855, 0.480), "POz": (-0.007, -0.855, 0.518),
    "PO2": (0.190, -0.857, 0.480), "PO4": (0.361, -0.851, 0.381), "PO6": (0.492, -0.838, 0.234),
    "PO8": (0.557, -0.829, 0.044), "PO10": (0.521, -0.789, -0.327), "O1": (-0.298, -0.949, 0.103),
    "Oz": (-0.008, -0.987, 0.162), "O2": (0.287, -0.952, 0.103), "Iz": (-0.008, -0.979, -0.205),
    "A1": (-0.792, -0.081, -0.605), "A2": (0.785, -0.082, -0.614), "M1": (-0.768, -0.255, -0.587),
    "M2": (0.761, -0.259, -0.595),
}
# fmt: on
_BY_LOWER = {name.lower(): name for name in _POSITIONS}
# The 10-20 system's older names of four places.
_RENAMED = {"t3": "T7", "t4": "T8", "t5": "P7", "t6": "P8"}
# What recorders hang on names: "EEG Fp1-REF", "Fc5.", "C3-A2", "CZ_REF".
_PREFIX = re.compile(r"^(?:eeg|seeg)[\s_:.-]+", re.IGNORECASE)
_STRIP = re.compile("(FC|CP?)[z1-6]")
_SUFFIX = re.compile(r"[\s_:-]+(?:ref|le|avg|av|car|a1|a2|m1|m2|ar)$", re.IGNORECASE)

# Montages by growing number, the hand areas first and then the rest of the head evenly.
_ORDER = (
    "C3", "Cz", "C4", "Pz", "O1", "Oz", "O2", "Fz",
    "FC3", "FC4", "CP3", "CP4", "P3", "P4", "Fp1", "Fp2",
    "F3", "F4", "T7", "T8", "P7", "P8", "F7", "F8",
    "FC1", "FC2", "CP1", "CP2", "C1", "C2", "C5", "C6",
    "FCz", "CPz", "POz", "PO7", "PO8", "FC5", "FC6", "CP5", "CP6", "AFz", "F1", "F2", "P1", "P2",
    "FT7", "FT8", "TP7", "TP8", "F5", "F6", "P5", "P6", "AF3", "AF4", "PO3", "PO4", "AF7", "AF8",
    "Fpz", "Iz", "TP9", "TP10",
)  # fmt: skip


def montage(count: int) -> tuple[str, ...]:
    """Choose ``count`` electrodes (1 to 64), such that 8 already see hands, feet and vision."""
    if not 1 <= count <= len(_ORDER):
        raise ValueError(f"a montage has 1 to {len(_ORDER)} electrodes, not {count}")
    return _ORDER[:count]


def normalise(name: str) -> str:
    """Bring a channel's name to the 10-10 spelling; what is no electrode keeps its own.

    >>> normalise("Fc5."), normalise("EEG FP1-REF"), normalise("T3"), normalise("EMG left")
    ('FC5', 'Fp1', 'T7', 'EMG left')
    """
    plain = _SUFFIX.sub("", _PREFIX.sub("", name.strip())).strip(". ")
    lower = plain.lower()
    return _RENAMED.get(lower) or _BY_LOWER.get(lower) or name.strip()


def is_electrode(name: str) -> bool:
    """Whether the name, once normalised, is a place on the head."""
    return normalise(name) in _POSITIONS


def position(name: str) -> tuple[float, float, float]:
    """Look up the place on the unit sphere: x right, y nose, z crown."""
    found = _POSITIONS.get(normalise(name))
    if found is None:
        raise ChannelUnknown(channel=name)
    return found


def position_2d(name: str) -> tuple[float, float]:
    """Project the place for drawing, seen from above: the crown at 0, 0, the ears' ring at 1.

    Azimuthal equidistant: the distance from the crown is the angle over a quarter turn, so that
    electrodes below the ring (TP9, Iz) come to lie slightly outside of it.
    """
    x, y, z = position(name)
    angle = math.acos(max(-1.0, min(1.0, z))) / (math.pi / 2)
    across = math.hypot(x, y)
    if across == 0.0:
        return 0.0, 0.0
    return angle * x / across, angle * y / across


def positions(names: Sequence[str]) -> Floats:
    """Stack the places of several channels, shape (channels, 3)."""
    return np.array([position(name) for name in names], dtype=np.float64).reshape(-1, 3)


def neighbours(name: str, among: Sequence[str], *, count: int = 4) -> tuple[str, ...]:
    """The ``count`` channels nearest to ``name`` on the sphere, nearest first.

    Channels that are no electrode have no place and are passed over.
    """
    here = positions([name])[0]
    others = [
        other for other in among if is_electrode(other) and normalise(other) != normalise(name)
    ]
    closeness = positions(others) @ here
    nearest = np.argsort(-closeness, kind="stable")[:count]
    return tuple(others[index] for index in nearest)


def sensorimotor(among: Sequence[str]) -> tuple[str, ...]:
    """Those of some channels, in their order, that lie over the sensorimotor cortex.

    Three rows from ear to ear: FC5 to FC6, C5 to C6, CP5 to CP6.
    """
    return tuple(name for name in among if _STRIP.fullmatch(normalise(name)))
