"""What the patient's page shows: which message it drew last, and how old that one is.

A page that answers proves nothing: it may show a picture of long ago, for its script hangs or its
line is slow. So what counts is the age of the newest picture that it says it has drawn.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence

from bci_rehab.session.latency import Latency

# More than the seconds after which a picture is too old for anything.
KEPT = 200


class Pictures:
    """Messages that went out, and those that were drawn. :meth:`draw` may be called anywhere.

    ``to_screen`` collects the times from a block's arrival to the page's word that it is drawn:
    the way back is in them, so that they are never too short.
    """

    def __init__(self, to_screen: Latency) -> None:
        self.to_screen = to_screen
        self._told: OrderedDict[int, tuple[float, tuple[float, ...]]] = OrderedDict()
        self._drawn: deque[tuple[int, float]] = deque(maxlen=KEPT)
        self._shown_s = float("-inf")

    def tell(self, number: int, now_s: float, arrived_s: Sequence[float]) -> None:
        """A message goes out, with blocks that arrived at these times."""
        self._told[number] = now_s, tuple(arrived_s)
        if len(self._told) > KEPT:
            self._told.popitem(last=False)

    def draw(self, number: int, now_s: float) -> None:
        """The page says that it has drawn a message."""
        self._drawn.append((number, now_s))

    def forget(self) -> None:
        """The page is gone: nothing is shown, whatever it said."""
        self._drawn.clear()
        self._shown_s = float("-inf")

    def age_s(self, now_s: float) -> float:
        """How old the newest picture on the screen is; infinite if none is there."""
        while self._drawn:
            number, drawn_s = self._drawn.popleft()
            told = self._told.get(number)
            if told is None or told[0] <= self._shown_s:
                continue  # one of long ago, one that nobody sent, or one that was counted
            self._shown_s = told[0]
            for arrived_s in told[1]:
                self.to_screen.add(drawn_s - arrived_s)
        return now_s - self._shown_s
