"""The pack SDK: all that a pack may import of Haihe.

A pack is a distribution of its own that carries one AI+ scenario. It offers its class under the
entry point group ``haihe.packs``, says what it is in ``pack.toml``, and reaches data, random
numbers and storage through the context it is given. This module imports neither Django nor a
numeric library, so that a pack's manifest can be read anywhere.
"""

from haihe.packs.context import (
    Context,
    EvaluateContext,
    ExplainContext,
    Explanation,
    FitContext,
    LearningPack,
    Pack,
    PrepareContext,
    Reason,
    RunContext,
)
from haihe.packs.domain import Manifest, Text
from haihe.packs.errors import InputRefused

__all__ = [
    "Context",
    "EvaluateContext",
    "ExplainContext",
    "Explanation",
    "FitContext",
    "InputRefused",
    "LearningPack",
    "Manifest",
    "Pack",
    "PrepareContext",
    "Reason",
    "RunContext",
    "Text",
]
