"""A real order is heard, better with the menu's words; silence and noise are nothing; the model is the one we know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.unit.encoders.files import DATA, tone, wav

from endcap.encoders.folder import read_folder
from endcap.encoders.speech import SphinxTranscriber, WhisperTranscriber, add_whisper
from endcap.errors import ConfigError, InvalidFieldError, ModelError, NotFoundError
from endcap.protocols import Transcriber

ORDER = (DATA / "iced-mocha.wav").read_bytes()
MENU = ["iced mocha", "latte", "double shot", "sixteen ounce", "brown sugar", "skim milk"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoders = tmp_path_factory.mktemp("speech")
    return encoders / add_whisper(encoders).name


@pytest.fixture(scope="session")
def whisper(folder: Path) -> WhisperTranscriber:
    return WhisperTranscriber(folder, "en")


@pytest.fixture(scope="session")
def sphinx() -> SphinxTranscriber:
    return SphinxTranscriber()


@pytest.fixture(params=["whisper", "sphinx"])
def transcriber(request: pytest.FixtureRequest) -> Transcriber:
    found: Transcriber = request.getfixturevalue(request.param)
    return found


def test_an_order_is_heard_with_the_words_of_the_menu(transcriber: Transcriber) -> None:
    heard = transcriber.transcribe(ORDER, MENU).lower()
    assert "double shot" in heard
    assert "mocha" in heard
    assert "brown sugar" in heard


NOISE = np.random.default_rng(0).standard_normal(32_000)


@pytest.mark.parametrize(
    "heard",
    [np.zeros(32_000), 0.001 * NOISE, 0.05 * NOISE, 0.3 * NOISE, tone(2.0, hertz=50.0)],
    ids=["silence", "hiss", "noise", "loud noise", "hum"],
)
def test_where_nobody_speaks_nothing_is_heard(transcriber: Transcriber, heard: NDArray[np.float64]) -> None:
    assert transcriber.transcribe(wav(heard), MENU) == ""


def test_what_is_no_sound_is_refused(transcriber: Transcriber) -> None:
    with pytest.raises(InvalidFieldError, match="damaged, or in no format"):
        transcriber.transcribe(b"not a sound at all", MENU)


def test_a_name_says_which_model_it_is(transcriber: Transcriber, folder: Path) -> None:
    assert transcriber.name in {read_folder(folder).version, "pocketsphinx-5.1.1-en-us"}


def test_more_words_than_a_prompt_holds_do_no_harm(whisper: WhisperTranscriber) -> None:
    heard = whisper.transcribe(ORDER, [*MENU, *(f"thing number {n}" for n in range(1_000))])
    assert "mocha" in heard


def test_a_grammar_hears_only_its_words(sphinx: SphinxTranscriber) -> None:
    heard = sphinx.transcribe(ORDER, ["Mocha", "sugar", "xqzzy", "a"])
    assert set(heard.split()) <= {
        "mocha",
        "sugar",
        "can",
        "get",
        "give",
        "have",
        "like",
        "make",
        "please",
        "some",
        "want",
        "with",
    }
    assert "mocha" in heard
    assert sphinx.transcribe(ORDER) == ""
    assert sphinx.transcribe(ORDER, ["xqzzy"]) == ""
    assert "mocha" not in sphinx.transcribe(ORDER, ["latte", "tea"])


def test_whisper_is_made_once(folder: Path) -> None:
    spec = read_folder(folder)
    assert (spec.kind, spec.modality, spec.dim) == ("whisper", "speech", 0)
    with pytest.raises(ModelError, match="there is an encoder 'whisper-base' already"):
        add_whisper(folder.parent)


def test_an_unknown_language_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"encode\.language is 'klingon', which the model does not know"):
        WhisperTranscriber(folder, "klingon").load()


def test_a_changed_model_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / folder.name
    changed.mkdir()
    for path in folder.iterdir():
        (changed / path.name).hardlink_to(path) if path.name != "config.json" else None
    (changed / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"config.json has SHA-256 .* instead of"):
        WhisperTranscriber(changed).load()
    with pytest.raises(NotFoundError, match="there is no encoder 'none'"):
        WhisperTranscriber(tmp_path / "none")
