"""The decoder's process, and the window that slides over a filtered stream."""

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import session_decoders as decoders
from bci_rehab.decode.evidence import Rule, run
from bci_rehab.errors import DecoderUnavailable
from bci_rehab.session import decoding
from bci_rehab.session.decoding import Decision, DecoderProcess, WindowDecoder
from bci_rehab.session.gathering import GatheredEvidence
from bci_rehab.session.interlock import StopReason
from bci_rehab.signal.blocks import Block, Channel, StreamInfo
from hypothesis import given
from hypothesis import strategies as st

INFO = StreamInfo(name="s", source_id="s", rate_hz=100.0, channels=(Channel(name="C3"),))


def block(first, count=10, channels=1):
    samples = np.arange(first, first + count, dtype=float)[:, np.newaxis] * np.ones(channels)
    return Block(first=first, samples=samples, device_s=np.zeros(count), host_s=float(first))


def until(met, seconds=20.0):
    end_s = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.002)


@pytest.fixture
def process():
    made = []

    def start(kind):
        made.append(DecoderProcess(kind))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_each_block_is_answered_in_order(process):
    decoder = process(decoders.Counts)
    decisions = []
    for first in range(0, 500, 10):
        decoder.submit(block(first))
    until(lambda: decisions.extend(decoder.poll()) or len(decisions) == 50)
    assert [d.end for d in decisions] == list(range(10, 510, 10))
    assert [d.host_s for d in decisions] == [float(n) for n in range(0, 500, 10)]
    assert decisions[3].log_odds == {"right": 30.0, "rest": 0.0}
    assert decoder.age_s(time.monotonic()) == 0.0
    assert decoder.fault() is None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Raises", "LinAlgError: not positive definite"),
        ("SaysNoNumber", "ValueError: the log-odds of right before sample 10 are nan"),
        ("Dies", "its process ended"),
    ],
)
def test_a_decoder_that_fails_is_a_fault_in_its_own_words(process, kind, words):
    decoder = process(getattr(decoders, kind))
    decoder.submit(block(0))
    until(lambda: decoder.poll() or decoder.fault())
    assert decoder.fault().reason is StopReason.DECODER_FAILED
    assert decoder.fault().detail == words
    decoder.submit(block(10))
    assert decoder.poll() == []


def test_a_decoder_that_is_stuck_is_late_and_holds_nobody_up(process):
    decoder = process(decoders.Sleeps)
    wide = block(0, count=200, channels=64)
    begun_s = time.monotonic()
    for _ in range(2 * decoding.WAITING_LIMIT):
        decoder.submit(wide)
    until(lambda: decoder.age_s(time.monotonic()) > 0.2)
    assert decoder.poll() == []
    assert decoder.age_s(time.monotonic()) <= time.monotonic() - begun_s


@pytest.mark.parametrize(
    ("kind", "words"), [("CannotBeMade", "no model 7"), ("NeverThere", "its process ended")]
)
def test_a_decoder_that_cannot_be_made_is_refused(process, kind, words):
    with pytest.raises(DecoderUnavailable, match=words):
        process(getattr(decoders, kind))


class Through:
    """A chain that filters nothing; the samples in `bad` are not usable."""

    def __init__(self, bad=()):
        self.bad = set(bad)

    def process(self, block):
        numbers = range(block.first, block.end)
        return SimpleNamespace(
            first=block.first, end=block.end, stride=1, samples=block.samples,
            usable=np.array([n not in self.bad for n in numbers], dtype=bool),
        )  # fmt: skip

    def reset(self):
        pass


CLASSES = ("rest", "right")


class Mean:
    def log_probabilities(self, windows):
        assert windows.shape[:2] == (1, 1)
        p = windows.mean() / 10_000
        return np.log([[1 - p, p]])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_windows_do_not_depend_on_how_the_stream_is_cut(sizes):
    def decided(cuts):
        decoder = WindowDecoder(INFO, Through(), Mean(), classes=CLASSES, window_s=0.5, step_s=0.1)
        made, first = [], 0
        for count in cuts:
            made += decoder.push(block(first, count))
            first += count
        return made

    whole = decided([sum(sizes)])
    assert decided(sizes) == whole
    assert [end for end, _, _ in whole] == list(range(50, sum(sizes) + 1, 10))
    for end, log_odds, _ in whole:
        p = (end - 25.5) / 10_000
        assert log_odds["right"] == pytest.approx(np.log(p / (1 - p)))


def test_a_gap_begins_a_new_window_and_what_is_not_usable_is_not_clean():
    decoder = WindowDecoder(
        INFO, Through(bad=[120]), Mean(), classes=CLASSES, window_s=0.5, step_s=0.1
    )
    decoder.push(block(0, 45))
    made = decoder.push(block(60, 110))
    assert [(end, clean) for end, _, clean in made] == [
        (110, True), (120, True), (130, False), (140, False), (150, False), (160, False),
        (170, False),
    ]  # fmt: skip


def test_certainty_stays_a_number():
    class Sure(Mean):
        def log_probabilities(self, windows):
            return np.array([[-np.inf, 0.0]])

    decoder = WindowDecoder(INFO, Through(), Sure(), classes=CLASSES, window_s=0.1, step_s=0.1)
    ((_, log_odds, _),) = decoder.push(block(0, 10))
    assert all(np.isfinite(value) for value in log_odds.values())
    assert log_odds["right"] > 20.0


def test_evidence_is_gathered_as_off_line_and_begins_anew_with_each_trial():
    rule = Rule(classes=("right",), threshold=5.0, refractory_s=0.0)
    values = [1.0, 2.0, -1.0, 3.0, 3.0, 3.0]
    times = [0.1 * n for n in range(1, 7)]
    offline = [decision.at_s for decision in run(rule, [[v] for v in values], times)]
    gathered = GatheredEvidence(rule, rate_hz=100.0)
    decided = []
    for value, at_s in zip(values, times, strict=True):
        said = Decision(
            end=round(at_s * 100), log_odds={"right": value, "rest": -value}, clean=True,
            host_s=0.0, took_s=0.0,
        )  # fmt: skip
        if gathered.update(said):
            decided.append(at_s)
    assert decided == pytest.approx(offline)
    assert 0.0 <= gathered.value()["right"] <= 1.0
    gathered.reset()
    assert gathered.value() == {"right": 0.0}


def test_evidence_survives_a_device_that_counts_anew_and_needs_the_models_classes():
    gathered = GatheredEvidence(Rule(classes=("right",), threshold=5.0), rate_hz=100.0)
    for end in (5_000, 10):
        said = Decision(end=end, log_odds={"right": 3.0}, clean=True, host_s=0.0, took_s=0.0)
        assert gathered.update(said) is None
    assert gathered.value()["right"] == pytest.approx(0.6)
    with pytest.raises(KeyError):
        gathered.update(replace(said, log_odds={"left": 1.0}))
