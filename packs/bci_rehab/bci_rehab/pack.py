"""The steps by which the platform runs and judges the pack: does somebody move, or rest?

The same bands, features and decoder as in a session, over trials that were cut before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from bci_rehab.decode.covariance import log_probabilities
from bci_rehab.decode.model import Decoder, Manifest, cross_validated, load, save
from bci_rehab.decode.motor import MU_BETA_HZ, default_decoder
from bci_rehab.errors import HeaderImplausible
from bci_rehab.signal.blocks import Block, Channel, Floats, StreamInfo
from bci_rehab.signal.filters import Chain, FilterBank, Reference
from haihe.packs import (
    EvaluateContext,
    ExplainContext,
    Explanation,
    FitContext,
    InputRefused,
    PrepareContext,
    Reason,
    RunContext,
    Text,
)

TRIALS, LABEL, RUN = "trials", "intention", "run"
MODEL_FILE = "decoder.zip"
RATES_HZ = (64.0, 20_000.0)
MOST_UV = 5_000.0
BANDS = (
    ("mu", Text(zh="μ 节律（8–13 赫兹）", en="the mu rhythm (8 to 13 Hz)")),
    ("beta", Text(zh="β 节律（13–30 赫兹）", en="the beta rhythm (13 to 30 Hz)")),
)


@dataclass(frozen=True)
class Cut:
    """Trials as a decoder takes them: windows of shape (trials, bands, channels, samples)."""

    info: StreamInfo
    windows: Floats


class BciRehab:
    """Tells from the EEG of a trial whether its person moved, or imagined to."""

    def prepare(self, context: PrepareContext) -> None:
        """Refuse trials that no amplifier gives."""
        _cut(context.input(TRIALS))

    def fit(self, context: FitContext) -> None:
        """Learn a decoder from the training trials."""
        trials = context.input(TRIALS)
        cut, moves = _cut(trials), trials[LABEL].to_numpy()
        runs = trials[RUN].to_numpy()
        decoder = default_decoder().fit(cut.windows, moves)
        manifest = Manifest(
            method="tangent space",
            version=context.manifest.version,
            classes=tuple(str(label) for label in decoder.classes_),
            rate_hz=cut.info.rate_hz,
            channels=tuple(channel.name for channel in cut.info.channels),
            bands_hz=MU_BETA_HZ,
            window_s=cut.windows.shape[-1] / cut.info.rate_hz,
            calibration=(),
            accuracy=cross_validated(
                default_decoder(), cut.windows, moves, trials["trial"].to_numpy(), runs
            ),
        )
        saved = save(
            Decoder(manifest=manifest, estimator=decoder), context.artifact("model") / MODEL_FILE
        )
        context.log.debug("accuracy within training %.3f", saved.manifest.accuracy.value)

    def run(self, context: RunContext) -> None:
        """The probability that each trial is one of movement."""
        trials, decoder = context.input(TRIALS), load(context.artifact("model") / MODEL_FILE)
        cut = _cut(trials)
        decoder.check(cut.info)
        logarithms = decoder.log_probabilities(cut.windows)
        moved = np.exp(logarithms[:, list(decoder.manifest.classes).index(str(True))])
        context.predictions(pl.DataFrame({"id": trials["trial"], "score": moved}))

    def explain(self, context: ExplainContext) -> None:
        """What each rhythm says; the parts add up to the log-odds of the score."""
        trials, decoder = context.input(TRIALS), load(context.artifact("model") / MODEL_FILE)
        parts = _log_odds_by_band(decoder, _cut(trials).windows)
        context.explanations(
            [
                Explanation(id=str(name), reasons=_reasons(odds))
                for name, odds in zip(trials["trial"], parts, strict=True)
            ]
        )

    def evaluate(self, context: EvaluateContext) -> None:
        """What a therapist asks: how often the hand would move in rest, by threshold."""
        scored = context.scored
        rest, move = (
            scored.filter(pl.col("truth") == side)["score"].to_numpy() for side in (False, True)
        )
        thresholds = [0.5, 0.6, 0.7, 0.8, 0.9]
        context.table(
            "thresholds",
            pl.DataFrame(
                {
                    "threshold": thresholds,
                    "moved_in_rest": [float(np.mean(rest >= limit)) for limit in thresholds],
                    "moved_when_meant": [float(np.mean(move >= limit)) for limit in thresholds],
                }
            ),
            title=Text(zh="阈值与触发", en="Thresholds and triggers"),
            columns={
                "threshold": Text(zh="阈值", en="Threshold"),
                "moved_in_rest": Text(zh="静息时触发的比例", en="Triggered in rest"),
                "moved_when_meant": Text(zh="想动时触发的比例", en="Triggered when meant"),
            },
        )


def _cut(trials: pl.DataFrame) -> Cut:
    """The windows of trials that all come from one montage.

    Raises
    ------
    InputRefused
        If rates, channels or lengths differ, or amplitudes cannot be EEG.
    """
    kinds = trials.select("rate_hz", "channels", pl.col("samples").list.len()).unique()
    if len(kinds) != 1:
        raise InputRefused(input=TRIALS, reason="trials differ in their rate, channels or length")
    rate_hz, names, length = kinds.row(0)
    channels = names.split(",")
    if not RATES_HZ[0] <= rate_hz <= RATES_HZ[1]:
        raise InputRefused(input=TRIALS, reason=f"{rate_hz:g} Hz is no rate of EEG")
    if length % len(channels) or length < len(channels) * rate_hz:
        reason = f"{length} samples are not at least a second of {len(channels)} channels"
        raise InputRefused(input=TRIALS, reason=reason)
    samples = np.array(trials["samples"].to_list(), dtype=np.float64)
    if float(np.abs(samples).max()) > MOST_UV:
        raise InputRefused(input=TRIALS, reason=f"amplitudes exceed {MOST_UV:g} microvolts")
    info = StreamInfo(
        name="trials",
        source_id="trials",
        rate_hz=rate_hz,
        channels=tuple(Channel(name=name) for name in channels),
    )
    shaped = samples.reshape(len(trials), len(channels), -1)
    try:
        windows = np.stack([_filtered(info, trial.T) for trial in shaped])
    except HeaderImplausible as error:
        raise InputRefused(input=TRIALS, reason=str(error)) from error
    return Cut(info, windows)


def _filtered(info: StreamInfo, samples: Floats) -> Floats:
    """One trial through the steps of the live path: (bands, channels, samples)."""
    # A trial begins in the middle of the signal: mirrored in front of it, the filters have settled.
    ahead = np.concatenate([2 * samples[:1] - samples[:0:-1], samples])
    chain = Chain(info, [Reference(info), FilterBank(info.rate_hz, MU_BETA_HZ)])
    times = np.arange(len(ahead)) / info.rate_hz
    piece = chain.process(Block(first=0, samples=ahead, device_s=times, host_s=0.0))
    settled: Floats = piece.samples[-len(samples) :].transpose(1, 2, 0)
    return settled


def _log_odds_by_band(decoder: Decoder, windows: Floats) -> Floats:
    """The part of each band in the log-odds of movement, shape (trials, bands)."""
    covariance, bands = decoder.estimator[0], decoder.estimator[-1]
    features = covariance.transform(windows)
    moved = list(bands.classes_).index(True)
    logarithms = [
        log_probabilities(estimator, features[:, band])
        for band, estimator in enumerate(bands.estimators_)
    ]
    odds = [one[:, moved] - one[:, 1 - moved] for one in logarithms]
    parts: Floats = np.stack(odds, axis=1) / len(odds)
    return parts


def _reasons(odds: Floats) -> tuple[Reason, ...]:
    found = []
    for (name, title), value in zip(BANDS, odds, strict=True):
        zh, en = ("运动时", "in movement") if value > 0 else ("静息时", "in rest")
        text = Text(
            zh=f"{title.zh}的空间分布与{zh}相似", en=f"{title.en} lies over the scalp as {en}"
        )
        found.append(Reason(column=f"{name}_rhythm", contribution=float(value), text=text))
    return tuple(sorted(found, key=lambda reason: -abs(reason.contribution)))
