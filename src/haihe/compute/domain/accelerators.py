"""Accelerators as classes with makers and models, and a card-hour that compares them.

A job asks for a model, a maker, or a class; a pool has one model. A normalised card-hour counts a
card by its dense half-precision throughput against one A100, so that a region's supply of unlike
cards can be added up. Throughputs are the makers' published peak figures; a real job's differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

REFERENCE_TFLOPS = 312  # A100, dense BF16/FP16


class Maker(StrEnum):
    """Who makes an accelerator."""

    NVIDIA = "nvidia"
    ASCEND = "ascend"
    HYGON = "hygon"
    CAMBRICON = "cambricon"
    OTHER = "other"


class AcceleratorClass(StrEnum):
    """What kind of processor it is: which software stack a job must have been built for."""

    CUDA_GPU = "cuda-gpu"
    NPU = "npu"
    DCU = "dcu"
    MLU = "mlu"
    OTHER = "other"


@dataclass(frozen=True)
class Accelerator:
    """A model, with its memory in GiB, peak dense FP16 throughput in TFLOPS, and board power."""

    model: str
    maker: Maker
    kind: AcceleratorClass
    memory_gib: int
    tflops: int
    watts: int


# Peak dense FP16/BF16 and board power as the makers' data sheets give them.
MODELS: Mapping[str, Accelerator] = {
    card.model.lower(): card
    for card in (
        Accelerator("P100", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 16, 19, 250),
        Accelerator("V100M16", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 16, 125, 300),
        Accelerator("V100M32", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 32, 125, 300),
        Accelerator("T4", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 16, 65, 70),
        Accelerator("L4", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 24, 121, 72),
        Accelerator("L20", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 48, 119, 275),
        Accelerator("L40", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 48, 181, 300),
        Accelerator("L40S", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 48, 362, 350),
        Accelerator("RTX4090", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 24, 165, 450),
        Accelerator("A10", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 24, 125, 150),
        Accelerator("A100-40GB", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 40, 312, 400),
        Accelerator("A100-80GB", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 80, 312, 400),
        Accelerator("A30", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 24, 165, 165),
        Accelerator("A40", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 48, 150, 300),
        Accelerator("A800-40GB", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 40, 312, 400),
        Accelerator("A800-80GB", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 80, 312, 400),
        Accelerator("H800", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 80, 989, 700),
        Accelerator("H20", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 96, 148, 400),
        Accelerator("H100", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 80, 989, 700),
        Accelerator("H200", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 141, 989, 700),
        Accelerator("910A", Maker.ASCEND, AcceleratorClass.NPU, 32, 256, 310),
        Accelerator("910B", Maker.ASCEND, AcceleratorClass.NPU, 64, 320, 400),
        Accelerator("K100", Maker.HYGON, AcceleratorClass.DCU, 64, 100, 300),
        Accelerator("Z100", Maker.HYGON, AcceleratorClass.DCU, 32, 24, 280),
        Accelerator("MLU370", Maker.CAMBRICON, AcceleratorClass.MLU, 24, 96, 150),
    )
}


# What makers, drivers and price lists put around a model's name.
_AROUND = re.compile(
    r"(?<![a-z0-9])(nvidia|tesla|geforce|huawei|ascend|hygon|cambricon|dcu"
    r"|sxm\d?|pcie|hgx|oam|nvl|hbm\d?e?)(?![a-z0-9])"
)
_MEMORY = re.compile(r"-(\d+)gi?b?$")
# Names that mean a model of the table. Of a model with two memories the smaller one is meant.
_ALIASES: Mapping[str, str] = {
    "a100": "a100-40gb",
    "a800": "a800-80gb",
    "v100": "v100m16",
    "v100s": "v100m32",
    "v100-16gb": "v100m16",
    "v100-32gb": "v100m32",
    "v100s-32gb": "v100m32",
    "p100-16gb": "p100",
    "4090": "rtx4090",
    "rtx-4090": "rtx4090",
    **{f"910b{grade}": "910b" for grade in (1, 2, 3, 4)},
}


def accelerator_of(model: str) -> Accelerator:
    """The accelerator of that name; one that is not in the table is without maker and speed."""
    known = next((MODELS[name] for name in _names_of(model) if name in MODELS), None)
    return known or Accelerator(model, Maker.OTHER, AcceleratorClass.OTHER, 0, 0, 0)


def is_known(model: str) -> bool:
    """Whether the table has the card's peak and power."""
    return accelerator_of(model).tflops > 0


def accepts(wish: str, model: str) -> bool:
    """Whether a job that asks for ``wish`` can use cards of ``model``.

    ``wish`` is a model by any of its names, the beginning of a model up to a hyphen (``A100`` for
    either memory), a maker, a class, or empty for any card.
    """
    if not wish or not model:
        return not wish
    card = accelerator_of(model)
    models = {model.lower(), plain(model), card.model.lower()}
    names = models | {name.partition("-")[0] for name in models} | {card.maker, card.kind}
    meant = {wish.lower(), plain(wish), _ALIASES.get(plain(wish), "")} - {""}
    return bool(meant & names)


def card_hours(gpu_milli_ms: int, card: Accelerator) -> Fraction:
    """Card-hours normalised to one A100; a card whose peak nobody knows counts as none."""
    return Fraction(gpu_milli_ms, 1_000 * 3_600_000) * Fraction(card.tflops, REFERENCE_TFLOPS)


def plain(name: str) -> str:
    """A name as the table writes it: ``NVIDIA A100-SXM4-80GB`` is ``a100-80gb``."""
    words = re.sub(r"[\s_/-]+", "-", name.lower())
    return re.sub(r"-+", "-", _AROUND.sub("", words)).strip("-")


def _names_of(model: str) -> Sequence[str]:
    """The names under which a model may stand in the table, the most exact first."""
    exact = plain(model)
    short = _MEMORY.sub("", exact)
    return [model.lower(), *(_ALIASES.get(name, name) for name in (exact, short))]
