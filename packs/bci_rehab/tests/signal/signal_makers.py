"""Signals, clocks and sources that the tests of ``signal`` share, also in child processes."""

from __future__ import annotations

import time

import numpy as np
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from bci_rehab.signal.layout import montage


class Hands:
    """A clock that only sleeping moves."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now_s += max(seconds, 1e-6)


def stream(channels: int = 8, rate_hz: float = 250.0) -> StreamInfo:
    return StreamInfo(
        name="Test amplifier",
        source_id="test-1",
        rate_hz=rate_hz,
        channels=tuple(Channel(name=name) for name in montage(channels)),
    )


def noise(rows: int, channels: int = 8, *, seed: int = 0, uv: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, uv, size=(rows, channels))


def block(
    samples: np.ndarray, first: int = 0, *, rate_hz: float = 250.0, host_s: float = 0.0
) -> Block:
    device_s = np.arange(first, first + len(samples)) / rate_hz
    return Block(first=first, samples=samples, device_s=device_s, host_s=host_s)


class Steady:
    """A source of a ramp, fast and without end."""

    commands = frozenset({"double", "trip", "slow", "shout"})

    def __init__(self, fails_after: int | None = None, fails_on_open: bool = False) -> None:
        self.first = 0
        self.fails_after = fails_after
        self.fails_on_open = fails_on_open

    def open(self) -> StreamInfo:
        if self.fails_on_open:
            raise OSError("the plug is out")
        return stream()

    def read(self, timeout_s: float) -> Block | None:
        if self.fails_after is not None and self.first >= self.fails_after:
            raise RuntimeError("the amplifier caught fire")
        time.sleep(0.005)
        samples = np.repeat(np.arange(self.first, self.first + 5.0)[:, None], 8, axis=1)
        made = block(samples, self.first, host_s=time.monotonic())
        self.first += 5
        return made

    def close(self) -> None:
        pass

    def double(self, value: int) -> int:
        return 2 * value

    def slow(self, value: int) -> int:
        time.sleep(0.3)
        return value

    def shout(self) -> str:
        return "a" * 100_000

    def trip(self) -> None:
        raise ValueError("no such electrode")


class Unfindable(Steady):
    """A source that is not there, with an error of ours."""

    def open(self) -> StreamInfo:
        from bci_rehab.errors import SourceNotFound

        raise SourceNotFound(source="x-1", timeout_s=2.0)


def write_ramp(name: str, rows: int, per_second: float) -> None:
    """Child process: write a ramp into a ring, sample k carrying k in every channel."""
    from bci_rehab.signal.ring import RingWriter

    writer = RingWriter.attach(name)
    writer.begin(note="test")
    first = 0
    while first < rows:
        samples = np.repeat(np.arange(first, first + 10.0)[:, None], 8, axis=1)
        writer.write(block(samples, first, host_s=time.monotonic()))
        writer.beat()
        first += 10
        time.sleep(10 / per_second)
    writer.end()
    writer.close()


def write_and_hang(name: str) -> None:
    """Child process: write once, then live on in silence."""
    from bci_rehab.signal.ring import RingWriter

    writer = RingWriter.attach(name)
    writer.begin()
    writer.write(block(noise(10), 0, host_s=time.monotonic()))
    time.sleep(60)
