"""The decoder of a file over a live stream: made in the decoder's process."""

from __future__ import annotations

from pathlib import Path

from bci_rehab.decode.model import load
from bci_rehab.session.decoding import WindowDecoder
from bci_rehab.session.motor_live import stream_decoder
from bci_rehab.signal.blocks import StreamInfo


def open_decoder(
    path: Path, sha256: str, info: StreamInfo, *, follows: bool = True
) -> WindowDecoder:
    """The decoder of a file, over the live stream of ``info``.

    ``follows`` is whether its mean follows the signal, or stays at that of calibration.

    Raises
    ------
    DecoderDamaged, DecoderMismatch
        The file is not the accepted one, or was made for another source.
    """
    decoder = load(path, sha256=sha256)
    decoder.check(info)
    return stream_decoder(info, decoder.estimator, follows=follows)
