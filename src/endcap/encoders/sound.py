"""Sound files to samples: any container and rate that browsers and telephones record, as 16 kHz mono.

Decoding is FFmpeg's, through PyAV. Playlists and other formats that name further files are not among those that are
read, and nothing but the bytes that were given is opened.
"""

from __future__ import annotations

import io

import numpy as np

from endcap.errors import InvalidFieldError, ModelError
from endcap.types import FloatArray

SAMPLE_RATE = 16_000
"""Samples a second, as every model here reads them."""
MAX_SECONDS = 30.0
"""What a search query may take; it is also what Whisper hears at once."""
QUIET = 10.0 ** (-50 / 20)
"""The loudest tenth of a second of silence is below this root mean square: 50 dB under full scale."""
NO_SPEECH = "speech is not installed: pip install 'endcap[speech]'"
_CONTAINERS = "wav,w64,aiff,mp3,flac,ogg,aac,amr,caf,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2"
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "pipe"}


def samples(data: bytes) -> FloatArray:
    """(n,) mono, -1 to 1, ``SAMPLE_RATE`` a second: what is heard in the sound file ``data``.

    Raises InvalidFieldError, naming ``audio``, for a file that is empty, no sound, damaged, or longer than
    ``MAX_SECONDS``; ModelError if PyAV is not installed. A file that is cut off is heard as far as it goes.
    """
    if not data:
        raise InvalidFieldError("audio", "the audio is empty: send the bytes of a recording")
    try:
        import av  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ModelError(NO_SPEECH) from error
    try:
        heard = _decoded(data)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InvalidFieldError(
            "audio", "the audio is damaged, or in no format that is read here: send WAV, MP3, M4A, OGG, WebM or FLAC"
        ) from error
    if heard.size == 0:
        raise InvalidFieldError("audio", "the audio has no sound in it: record it again")
    return heard


def is_silent(heard: FloatArray) -> bool:
    """Whether no tenth of a second of ``heard`` is as loud as ``QUIET``. A constant offset is not sound."""
    step = SAMPLE_RATE // 10
    padded = np.zeros(-(-heard.size // step) * step, np.float32)
    padded[: heard.size] = heard - heard.mean()
    return bool(np.sqrt((padded.reshape(-1, step) ** 2).mean(axis=1)).max() < QUIET)


def _decoded(data: bytes) -> FloatArray:
    import av  # noqa: PLC0415

    parts: list[FloatArray] = []
    left = int(MAX_SECONDS * SAMPLE_RATE)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(io.BytesIO(data), "r", metadata_errors="ignore", options=_OPTIONS) as container:
        for frame in container.decode(audio=0) if container.streams.audio else ():
            for piece in resampler.resample(frame):
                parts.append(piece.to_ndarray()[0])
                left -= parts[-1].size
            if left < 0:
                raise InvalidFieldError("audio", f"the audio is longer than {MAX_SECONDS:g} seconds: send a short one")
    parts += [piece.to_ndarray()[0] for piece in resampler.resample(None)]
    return np.nan_to_num(np.concatenate(parts)).astype(np.float32) if parts else np.zeros(0, np.float32)
