"""When an evaluation shows enough to be proposed as a scenario."""

from __future__ import annotations

from haihe.kernel.errors import gettext_noop
from haihe.programme.domain.vouchers import Verdict

PERMUTED_TOLERANCE = 0.1
CHANCE = 0.5


def judge_evaluation(*, score: float, baseline: float, permuted: float) -> list[Verdict]:
    """Whether an evaluation shows anything: above its baseline, and at chance when permuted."""
    return [
        Verdict(
            "score",
            score > baseline,
            f"{score:.4f}",
            gettext_noop("above the baseline {0}").format(f"{baseline:.4f}"),
        ),
        Verdict(
            "permuted-label control",
            abs(permuted - CHANCE) <= PERMUTED_TOLERANCE,
            f"{permuted:.4f}",
            gettext_noop("within {0} of {1}").format(PERMUTED_TOLERANCE, CHANCE),
        ),
    ]
