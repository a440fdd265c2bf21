"""Boards that BrainFlow knows, by their number there; its synthetic board is -1.

BrainFlow numbers packages in a byte or so that wraps. It is unwrapped into the sample counter, so
that what the radio lost is seen. Where a board sends no numbers, samples are counted as they come.
BrainFlow gives EXG channels in microvolts, and stamps packages when they reach the host.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bci_rehab.errors import SourceClosed, SourceFailed, SourceNotFound
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Block, Channel, Floats, StreamInfo
from bci_rehab.signal.sources import Clock, Sleep

BUFFER_SAMPLES = 45_000
READ_LIMIT = 4_096
POLL_S = 0.002
# By how much less time may have passed between two packages than the samples between them take.
JITTER_S = 0.1


@dataclass
class PackageCounter:
    """Unwraps package numbers into sample numbers. Pure.

    Boards begin again at different numbers, and some at another one in another mode. A loss that
    the time between packages does not bear out is therefore none: the counter has begun again, and
    the modulus is taken from there.

    Attributes
    ----------
    modulus : int
        How many numbers there are before they begin again, as far as is known.
    rate_hz : float
        Tells whole turns that were lost, with the time between packages.
    """

    modulus: int
    rate_hz: float
    _last: tuple[int, float, int] | None = field(default=None, init=False)

    def number(self, packages: Sequence[int] | NDArray[np.int64], stamps_s: Floats) -> list[int]:
        """The sample number of each package. A repeated package number counts on without a loss:
        some boards send several samples in one package."""
        numbers = []
        for package, stamp_s in zip(packages, stamps_s, strict=True):
            if self._last is None:
                number = 0
            else:
                before, before_s, number_before = self._last
                step = (int(package) - before) % self.modulus
                passed = (float(stamp_s) - before_s) * self.rate_hz
                if int(package) < before and step > max(passed, 1.0) + JITTER_S * self.rate_hz:
                    self.modulus, step = before - int(package) + 1, 1
                # Whole turns are believed only where most of the time for them has passed.
                turns = max(0, round((passed - step) / self.modulus)) if passed > 0 else 0
                number = number_before + max(1, step + turns * self.modulus)
            self._last = (int(package), float(stamp_s), number)
            numbers.append(number)
        return numbers


class BrainFlowSource:
    """One board.

    Parameters
    ----------
    board_id : int
        BrainFlow's number of the board.
    parameters : mapping
        Fields of ``BrainFlowInputParams``: ``serial_port``, ``mac_address`` and so on.
    names : sequence of str
        Where the electrodes sit, in the order of the board's channels; its own names by default.
    package_modulus : int
        How many numbers the board's packages have before they begin again; found out where it is
        another.
    """

    def __init__(
        self,
        board_id: int,
        parameters: dict[str, str | int] | None = None,
        *,
        names: Sequence[str] = (),
        package_modulus: int = 256,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._board_id = board_id
        self._parameters = dict(parameters or {})
        self._names = tuple(names)
        self._modulus = package_modulus
        self._clock = clock
        self._sleep = sleep
        self._board: Any = None
        self._held: list[Block] = []

    def open(self) -> StreamInfo:
        """Connect to the board and start its stream."""
        from brainflow.board_shim import BoardShim, BrainFlowError, BrainFlowInputParams

        with warnings.catch_warnings():
            # On Python 3.11 BrainFlow finds its library through pkg_resources, which warns of its
            # own end; the pack's dependencies hold a setuptools that still has it.
            warnings.simplefilter("ignore", UserWarning)
            BoardShim.disable_board_logger()
        given = BrainFlowInputParams()
        for key, value in self._parameters.items():
            if not hasattr(given, key):
                raise SourceFailed(source=self._label, reason=f"BrainFlow has no parameter {key}")
            setattr(given, key, value)
        try:
            described = BoardShim.get_board_descr(self._board_id)
            board = BoardShim(self._board_id, given)
        except BrainFlowError as error:
            raise SourceNotFound(source=self._label, timeout_s=0.0) from error
        try:
            board.prepare_session()
            board.start_stream(BUFFER_SAMPLES)
        except BrainFlowError as error:
            if board.is_prepared():
                board.release_session()
            raise SourceFailed(source=self._label, reason=str(error)) from error
        self._board = board
        return self._begin(described)

    def read(self, timeout_s: float) -> Block | None:
        """What has arrived, up to the next loss."""
        if self._board is None:
            raise SourceClosed(source=self._label)
        if self._held:
            return self._held.pop(0)
        until_s = self._clock() + timeout_s
        while not self._board.get_board_data_count():
            left_s = until_s - self._clock()
            if left_s <= 0:
                return None
            self._sleep(min(POLL_S, left_s))
        data = self._board.get_board_data(READ_LIMIT)
        self._held = self._cut(data, self._clock())
        return self._held.pop(0)

    def close(self) -> None:
        """Stop the stream and let the board go."""
        board, self._board = self._board, None
        self._held = []
        if board is not None and board.is_prepared():
            board.stop_stream()
            board.release_session()

    @property
    def _label(self) -> str:
        return f"BrainFlow board {self._board_id}"

    def _begin(self, described: dict[str, Any]) -> StreamInfo:
        self._rows: list[int] = described.get("eeg_channels") or described["exg_channels"]
        self._package_row: int | None = described.get("package_num_channel")
        self._stamp_row: int = described["timestamp_channel"]
        self._rate_hz = float(described["sampling_rate"])
        self._counter = PackageCounter(modulus=self._modulus, rate_hz=self._rate_hz)
        self._counted = 0
        own = [name for name in described.get("eeg_names", "").split(",") if name]
        named = list(self._names or own)
        count = len(self._rows)
        names = [*named, *(f"ch{index + 1}" for index in range(len(named), count))][:count]
        where = self._parameters.get("serial_number") or self._parameters.get("serial_port") or ""
        return StreamInfo(
            name=str(described.get("name", self._label)),
            source_id=f"brainflow:{self._board_id}:{where}",
            rate_hz=self._rate_hz,
            channels=tuple(Channel(name=layout.normalise(name)) for name in names),
        )

    def _cut(self, data: Floats, host_s: float) -> list[Block]:
        """Blocks of consecutive samples."""
        stamps_s = data[self._stamp_row]
        if self._package_row is None:
            numbers = np.arange(self._counted, self._counted + data.shape[1])
            self._counted += data.shape[1]
        else:
            numbers = np.array(
                self._counter.number(data[self._package_row].astype(np.int64), stamps_s)
            )
        starts = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1), len(numbers)]
        samples = np.ascontiguousarray(data[self._rows].T)
        return [
            Block(
                first=int(numbers[start]),
                samples=samples[start:stop],
                device_s=np.array(stamps_s[start:stop]),
                host_s=host_s,
            )
            for start, stop in pairwise(starts)
        ]
