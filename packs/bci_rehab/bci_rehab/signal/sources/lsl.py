"""Lab Streaming Layer: any amplifier whose program offers a stream on the network.

A stream is found by its ``source_id``, which stays the same over restarts, or by its name. Two
streams of one name could be two patients, so that is an error and never a choice. After a loss the
inlet waits for the same source and goes on; what was missed shows as a gap.

LSL carries no sample counter. Numbers are counted here; a hole in the time stamps of more than
``GAP_S`` counts as lost samples. Within a connection LSL itself loses nothing.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bci_rehab.errors import (
    HeaderImplausible,
    SourceAmbiguous,
    SourceClosed,
    SourceFailed,
    SourceNotFound,
)
from bci_rehab.signal import layout
from bci_rehab.signal.blocks import Block, Channel, ChannelKind, StreamInfo
from bci_rehab.signal.files import kind_of, microvolts_per
from bci_rehab.signal.sources import Clock

GAP_S = 0.05
BUFFER_S = 10
CHUNK_LIMIT = 4_096
# A second stream of the same name answers within this time if it is there at all.
SECOND_LOOK_S = 0.5
HEADER_TIMEOUT_S = 5.0


class LslSource:
    """An inlet for one stream.

    Parameters
    ----------
    source_id, name : str
        One of the two says which stream.
    resolve_s : float
        How long to look for it.
    """

    def __init__(
        self,
        *,
        source_id: str = "",
        name: str = "",
        resolve_s: float = 5.0,
        clock: Clock = time.monotonic,
    ) -> None:
        if bool(source_id) == bool(name):
            raise ValueError("a stream is named by source_id or by name, one of the two")
        self._field, self._wanted = ("source_id", source_id) if source_id else ("name", name)
        self._resolve_s = resolve_s
        self._clock = clock
        self._inlet: Any = None
        self._info: StreamInfo | None = None
        self._number = 0
        self._stamp_s: float | None = None
        self._host_s = 0.0

    def open(self) -> StreamInfo:
        """Find the stream, read its header, and connect."""
        import pylsl

        found = self._resolve()
        inlet = pylsl.StreamInlet(
            found, max_buflen=BUFFER_S, recover=self._field == "source_id", as_numpy=True
        )
        try:
            info = self._described(inlet.info(timeout=HEADER_TIMEOUT_S))
            inlet.open_stream(timeout=HEADER_TIMEOUT_S)
        except (pylsl.util.TimeoutError, pylsl.util.LostError) as error:
            inlet.close_stream()
            raise SourceFailed(
                source=self._wanted, reason=f"the stream does not answer ({error})"
            ) from error
        except HeaderImplausible:
            inlet.close_stream()
            raise
        self._inlet, self._info = inlet, info
        self._factors = np.array([channel.microvolts_per_unit for channel in info.channels])
        self._number, self._stamp_s = 0, None
        return info

    def read(self, timeout_s: float) -> Block | None:
        """What has arrived, up to the next hole in the time stamps."""
        import pylsl

        if self._inlet is None or self._info is None:
            raise SourceClosed(source=self._wanted)
        try:
            values, stamps = self._inlet.pull_chunk(
                timeout=timeout_s, max_samples=CHUNK_LIMIT, min_samples=1
            )
        except pylsl.util.LostError as error:
            raise SourceFailed(
                source=self._wanted, reason="its stream ended and cannot be found again by name"
            ) from error
        if not len(stamps):
            return None
        host_s = self._clock()
        stamps = np.asarray(stamps, dtype=np.float64)
        first = self._number + self._lost_before(float(stamps[0]), host_s)
        self._number = first + len(stamps)
        self._stamp_s, self._host_s = float(stamps[-1]), host_s
        samples = np.asarray(values, dtype=np.float64) * self._factors
        return Block(first=first, samples=samples, device_s=stamps, host_s=host_s)

    def close(self) -> None:
        """Disconnect."""
        if self._inlet is not None:
            self._inlet.close_stream()
        self._inlet = None

    def time_correction_s(self, timeout_s: float = 2.0) -> float:
        """What to add to a device time to have it on this host's LSL clock (measured by LSL)."""
        if self._inlet is None:
            raise SourceClosed(source=self._wanted)
        return float(self._inlet.time_correction(timeout=timeout_s))

    def _lost_before(self, stamp_s: float, host_s: float) -> int:
        """How many samples a hole before this stamp has swallowed."""
        assert self._info is not None
        if self._stamp_s is None:
            return 0
        step_s = stamp_s - self._stamp_s
        waited_s = host_s - self._host_s
        if step_s < 0 or step_s > waited_s + BUFFER_S:
            # The clock is another one: the sender's machine was restarted. The host's time counts.
            step_s = waited_s
        if step_s <= GAP_S + 1.0 / self._info.rate_hz:
            return 0
        return max(0, round(step_s * self._info.rate_hz) - 1)

    def _resolve(self) -> Any:
        import pylsl

        found = pylsl.resolve_byprop(self._field, self._wanted, minimum=1, timeout=self._resolve_s)
        if not found:
            raise SourceNotFound(source=self._wanted, timeout_s=self._resolve_s)
        again = pylsl.resolve_byprop(self._field, self._wanted, minimum=2, timeout=SECOND_LOOK_S)
        streams = {stream.uid(): stream for stream in (*found, *again)}
        if len(streams) > 1:
            where = ", ".join(
                sorted(f"{stream.name()} on {stream.hostname()}" for stream in streams.values())
            )
            raise SourceAmbiguous(source=self._wanted, count=len(streams), where=where)
        return found[0]

    def _described(self, header: Any) -> StreamInfo:
        rate_hz = float(header.nominal_srate())
        if not 1.0 <= rate_hz <= 100_000.0:
            raise HeaderImplausible(
                source=header.name(),
                field="sampling rate",
                value=f"{rate_hz:g} Hz",
                rule="a signal comes at a regular rate",
            )
        channels = []
        described = header.desc().child("channels").child("channel")
        for index in range(header.channel_count()):
            label = described.child_value("label") or f"ch{index + 1}"
            kind = kind_of(label, described.child_value("type"))
            factor = microvolts_per(described.child_value("unit"))
            if factor is None:
                kind = ChannelKind.OTHER if kind is ChannelKind.EEG else kind
                factor = 1.0
            channels.append(
                Channel(name=layout.normalise(label), kind=kind, microvolts_per_unit=factor)
            )
            described = described.next_sibling("channel")
        return StreamInfo(
            name=header.name(),
            source_id=header.source_id(),
            rate_hz=rate_hz,
            channels=tuple(channels),
        )
