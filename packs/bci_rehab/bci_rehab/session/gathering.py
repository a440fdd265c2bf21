"""The evidence of a live session: the decoder's log-odds, gathered by the rule that was calibrated.

The rule and its step are those of :mod:`bci_rehab.decode.evidence`; this keeps the state between
windows and speaks the session's words. A model's classes must bear the names of the sides.
"""

from __future__ import annotations

from collections.abc import Mapping

from bci_rehab.decode import evidence
from bci_rehab.session.decoding import Decision


class GatheredEvidence:
    """Gathers decisions under ``rule``; windows are timed by their samples, as off-line."""

    def __init__(self, rule: evidence.Rule, *, rate_hz: float) -> None:
        self._rule, self._rate_hz = rule, rate_hz
        self._state = evidence.begin(rule)

    def update(self, decision: Decision) -> str | None:
        """Take a window in; the side for which the evidence now suffices, if any."""
        at_s = decision.end / self._rate_hz
        if self._state.at_s is not None and at_s < self._state.at_s:
            self.reset()  # the device counts anew
        log_odds = [decision.log_odds[name] for name in self._rule.classes]
        self._state, decided = evidence.step(
            self._rule, self._state, log_odds, at_s, usable=decision.clean
        )
        return None if decided is None else decided.label

    def reset(self) -> None:
        """Begin anew, with a new trial."""
        self._state = evidence.begin(self._rule)

    def value(self) -> Mapping[str, float]:
        """By side, from 0 to 1, where 1 is enough."""
        return {
            name: min(max(gathered / self._rule.threshold, 0.0), 1.0)
            for name, gathered in zip(self._rule.classes, self._state.log_odds, strict=True)
        }
