"""config.toml: the defaults, each kind of value, each message."""

from __future__ import annotations

from pathlib import Path

import pytest

from endcap.config import Config, ServeConfig, StateConfig, TrainConfig, load_config
from endcap.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_and_an_empty_file_mean_the_defaults(tmp_path: Path) -> None:
    assert load_config(tmp_path / "config.toml") == Config()
    assert load_config(written(tmp_path, "")) == Config()


def test_reads_a_value_of_each_kind(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [state]
        max_history = 50
        session_gap_minutes = 20
        weights = {view = 1, dismiss = -2.5, click = 0}
        [serve]
        host = "0.0.0.0"
        port = 0
        allowed_origins = ["https://shop.example", "https://m.shop.example"]
        max_streams = 0
        [train]
        als_l2 = 0.5
        stacking = false
        seed = 0
        """,
    )
    config = load_config(path)
    assert config == Config(
        StateConfig(weights={"view": 1.0, "dismiss": -2.5, "click": 0.0}, max_history=50, session_gap_minutes=20.0),
        ServeConfig(
            host="0.0.0.0",
            port=0,
            allowed_origins=("https://shop.example", "https://m.shop.example"),
            max_streams=0,
        ),
        TrainConfig(als_l2=0.5, stacking=False, seed=0),
    )
    assert type(config.state.session_gap_minutes) is float
    assert type(config.state.max_history) is int


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[serve", r"config.toml is not valid TOML: "),
        (
            "[sevre]\n[state]",
            r"config.toml: unknown table \[sevre\]; there are \[state\], \[serve\], \[train\], .*\[endpoint\]",
        ),
        ("port = 8080", r"unknown table \[port\]"),
        ("serve = 8080", "config.toml: serve must be a table, not 8080"),
        ("[serve]\nprot = 1", "unknown key serve.prot; there are host, port, max_body_bytes, "),
        ("[serve]\nhost = 1", "serve.host is 1: it must be a text"),
        ("[serve]\nport = '80'", "serve.port is '80': it must be a whole number"),
        ("[serve]\nport = 80.0", "serve.port is 80.0: it must be a whole number"),
        ("[serve]\nport = true", "serve.port is True: it must be a whole number"),
        ("[serve]\nport = 65536", "serve.port is 65536: it must be a finite number from 0 to 65535"),
        ("[serve]\ncanary_seconds = 0.5", "serve.canary_seconds is 0.5: it must be 0, or at least 1"),
        ("[serve]\nport = -1", "serve.port is -1: it must be a finite number from 0 to 65535"),
        ("[serve]\nallowed_origins = 'a'", "serve.allowed_origins is 'a': it must be a list of texts"),
        ("[serve]\nallowed_origins = [1]", r"serve.allowed_origins is \[1\]: it must be a list of texts"),
        ("[serve]\nmax_body_bytes = 0", "serve.max_body_bytes is 0: it must be a finite number above 0"),
        ("[state]\nweights = 3", "state.weights is 3: it must be a table of numbers"),
        ("[state.weights]\nview = 'x'", "state.weights.view is 'x': it must be a number"),
        ("[state.weights]\nview = true", "state.weights.view is True: it must be a number"),
        ("[state.weights]\nview = inf", "state.weights.view is inf: it must be a finite number from"),
        ("[state]\nmax_history = 0", "state.max_history is 0: it must be a finite number above 0"),
        (
            "[state]\ntrending_half_life_days = nan",
            "trending_half_life_days is nan: it must be a finite number above 0",
        ),
        ("[state]\npopular_half_life_days = inf", "popular_half_life_days is inf: it must be a finite number above 0"),
        ("[train]\nstacking = 1", "train.stacking is 1: it must be true or false"),
        (
            "[train]\ntransitions_damp_to = 1.5",
            "train.transitions_damp_to is 1.5: it must be a finite number from 0 to 1",
        ),
        ("[train]\nsequence_dropout = 1.0", "train.sequence_dropout is 1.0: it must be a finite number from 0 to 0.99"),
        ("[train]\nseed = -1", "train.seed is -1: it must be a finite number from 0 to"),
        ("[train]\nthemes = 'genres'", "train.themes is 'genres': it must be one of topics, clusters"),
        ("[train]\nals_l2 = -0.5", "train.als_l2 is -0.5: it must be a finite number above 0"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_config(written(tmp_path, text))


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"[serve]\nhost = '\xff'")
    with pytest.raises(ConfigError, match=r"config.toml is not valid TOML: .*utf-8"):
        load_config(path)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\): make it a file that Endcap may read"):
        load_config(tmp_path)
