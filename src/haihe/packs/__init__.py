"""The pack SDK: all that a pack may import of Haihe.

A pack is a distribution of its own that carries one AI+ scenario. It offers its class under the
entry point group ``haihe.packs``, says what it is in ``pack.toml``, and reaches data, random
numbers and storage through the context it is given. Its errors are branches of the same tree as the
platform's. This module imports neither Django nor a
numeric library, so that a pack's manifest can be read anywhere.
"""

from haihe.kernel.errors import (
    Conflict,
    Corrupt,
    Denied,
    HaiheError,
    Invalid,
    NotFound,
    Refused,
    TooLarge,
    Unavailable,
    gettext_noop,
)
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
from haihe.packs.judging import RawPredictions, judge
from haihe.packs.serving import Channel, ChannelClosed, Service, ServiceContext, serve

__all__ = [
    "Channel",
    "ChannelClosed",
    "Conflict",
    "Context",
    "Corrupt",
    "Denied",
    "EvaluateContext",
    "ExplainContext",
    "Explanation",
    "FitContext",
    "HaiheError",
    "InputRefused",
    "Invalid",
    "LearningPack",
    "Manifest",
    "NotFound",
    "Pack",
    "PrepareContext",
    "RawPredictions",
    "Reason",
    "Refused",
    "RunContext",
    "Service",
    "ServiceContext",
    "Text",
    "TooLarge",
    "Unavailable",
    "gettext_noop",
    "judge",
    "serve",
]
