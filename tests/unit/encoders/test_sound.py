"""Any recording becomes 16 kHz mono; what is no recording says so; silence is not sound."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.encoders.files import DATA, tone, wav

from endcap.encoders.sound import MAX_SECONDS, SAMPLE_RATE, is_silent, samples
from endcap.errors import InvalidFieldError


def recorded(container: str, codec: str, heard: NDArray[np.floating], rate: int) -> bytes:
    """As browsers and telephones send it."""
    out = io.BytesIO()
    frame = av.AudioFrame.from_ndarray((heard[np.newaxis] * 32_767).astype("<i2"), format="s16", layout="mono")
    frame.sample_rate = rate
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    return out.getvalue()


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rate_and_channels_do_not_matter(rate: int, channels: int) -> None:
    heard = samples(wav(tone(0.5, rate), rate, channels))
    assert heard.dtype == np.float32
    assert heard.size == pytest.approx(SAMPLE_RATE / 2, abs=SAMPLE_RATE / 100)
    spectrum = np.abs(np.fft.rfft(heard))
    assert np.argmax(spectrum) * SAMPLE_RATE / heard.size == pytest.approx(440, abs=5)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("webm", "libopus"), ("ogg", "libopus"), ("mp3", "libmp3lame"), ("flac", "flac"), ("mp4", "aac"), ("adts", "aac")],
)
def test_what_browsers_and_telephones_send_is_heard(container: str, codec: str) -> None:
    heard = samples(recorded(container, codec, tone(0.5, 48_000), 48_000))
    assert heard.size == pytest.approx(SAMPLE_RATE / 2, abs=SAMPLE_RATE / 10)
    assert not is_silent(heard)


def test_a_recording_that_is_cut_off_is_heard_as_far_as_it_goes() -> None:
    whole = wav(tone(1.0))
    assert samples(whole[: len(whole) // 2]).size == pytest.approx(SAMPLE_RATE / 2, abs=200)


def test_the_longest_is_heard_and_a_longer_one_refused() -> None:
    assert samples(wav(np.zeros(int(MAX_SECONDS * 8_000)), 8_000)).size <= MAX_SECONDS * SAMPLE_RATE
    with pytest.raises(InvalidFieldError, match="longer than 30 seconds"):
        samples(wav(np.zeros(int((MAX_SECONDS + 1) * 8_000)), 8_000))


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the audio is empty"),
        (b"a text " * 50, "damaged, or in no format that is read here: send WAV"),
        (b"RIFF\0\0\0\0WAVE", "damaged, or in no format"),
        (wav(np.zeros(0)), "no sound in it"),
        (PLAYLIST.format(DATA / "iced-mocha.wav").encode(), "damaged, or in no format"),
        (f"ffconcat version 1.0\nfile '{DATA / 'iced-mocha.wav'}'\n".encode(), "damaged, or in no format"),
    ],
    ids=["empty", "text", "head", "none", "playlist", "concat"],
)
def test_what_is_no_recording_says_so(data: bytes, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as raised:
        samples(data)
    assert raised.value.field == "audio"


def test_a_film_without_sound_is_refused() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=5)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    with pytest.raises(InvalidFieldError, match="no sound in it"):
        samples(out.getvalue())


@pytest.mark.parametrize(
    ("heard", "silent"),
    [
        (np.zeros(16_000), True),
        (np.zeros(10), True),
        (np.full(16_000, 0.4), True),
        (0.001 * np.random.default_rng(0).standard_normal(16_000), True),
        (tone(), False),
        (np.concatenate([np.zeros(64_000), 0.1 * tone(0.2)]), False),
    ],
    ids=["nothing", "short", "offset", "hiss", "tone", "late"],
)
def test_silence_is_what_has_no_loud_moment(heard: NDArray[np.float64], silent: bool) -> None:
    assert is_silent(heard.astype(np.float32)) is silent
