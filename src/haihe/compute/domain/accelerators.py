"""Accelerators as classes with makers and models, and a card-hour that compares them.

A job asks for a model, a maker, or a class; a pool has one model. A normalised card-hour counts a
card by its dense half-precision throughput against one A100, so that a region's supply of unlike
cards can be added up. Throughputs are the makers' published peak figures; a real job's differ.
"""

from __future__ import annotations

from collections.abc import Mapping
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
        Accelerator("A10", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 24, 125, 150),
        Accelerator("A100-40GB", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 40, 312, 400),
        Accelerator("A100-80GB", Maker.NVIDIA, AcceleratorClass.CUDA_GPU, 80, 312, 400),
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


def accelerator_of(model: str) -> Accelerator:
    """The accelerator of that name; one that is not in the table is without maker and speed."""
    known = MODELS.get(model.lower())
    return known or Accelerator(model, Maker.OTHER, AcceleratorClass.OTHER, 0, 0, 0)


def accepts(wish: str, model: str) -> bool:
    """Whether a job that asks for ``wish`` can use cards of ``model``.

    ``wish`` is a model, the beginning of a model up to a hyphen (``A100`` for either memory), a
    maker, a class, or empty for any card.
    """
    card = accelerator_of(model)
    wanted = wish.lower()
    names = {model.lower(), model.lower().split("-", maxsplit=1)[0], card.maker, card.kind}
    return not wanted or (bool(model) and wanted in names)


def card_hours(gpu_milli_ms: int, model: str) -> Fraction:
    """Card-hours normalised to one A100; a card that is not in the table counts as none."""
    share = Fraction(accelerator_of(model).tflops, REFERENCE_TFLOPS)
    return Fraction(gpu_milli_ms, 1_000 * 3_600_000) * share
