"""``endcap init``: a home folder with a commented config.toml."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import click

from endcap.config import Config
from endcap.errors import HomeError

FOLDERS = ("log", "state", "models", "vectors", "reports", "cache")

COMMENTS = {
    "state": "What the fold of the log keeps. A change takes effect at the next start, which replays the log.",
    "state.weights": "How much an event of each type says about taste; a type that is not named says nothing.",
    "state.max_history": "Events kept per user; the oldest go first.",
    "state.max_session_items": "Different items of one session that count as together; later ones do not.",
    "state.sessions_per_item": "Sessions kept per item in the session index; the oldest go first.",
    "state.session_gap_minutes": "Silence after which a visit is over and a new session starts, named or not.",
    "state.max_open_visits": "Visits of one user that go on at a time; the one touched longest ago goes first.",
    "state.max_interests": "Categories, brands and price bands remembered per user; the weakest go.",
    "state.max_dismissed": "Items that a user does not want to see again; the oldest go first.",
    "state.max_identified": "Visitors known to be a user; the one identified longest ago is somebody new again.",
    "state.max_private_visits": "People who are served without consent at a time; the oldest visits go first.",
    "state.attribution_days": "An event counts for a list that was served at most so many days before it.",
    "state.report_days": "Days whose lists `endcap attribution` reports on; the oldest go first.",
    "state.max_attributed_lists": "Lists known to have been rendered or clicked; one that goes would count as new.",
    "state.max_attributed_items": "Items that lists have led people to, for purchases that name no list.",
    "state.rating_middle": "A rate or a review whose rating is below this says nothing about taste.",
    "state.trending_half_life_days": "After so many days an event counts half in `trending`.",
    "state.popular_half_life_days": "The same in `popular`.",
    "state.interest_half_life_days": "The same in a user's interests.",
    "serve": "The HTTP server.",
    "serve.host": "The address to listen on. Any other than a loopback address needs a key.",
    "serve.port": "The port to listen on.",
    "serve.max_body_bytes": "A larger request body is refused with 413.",
    "serve.allowed_origins": "Web origins whose pages may call the API with an `events` key.",
    "serve.max_streams": "Open event streams at a time.",
    "serve.keep_served_days": "Days that what was shown is kept, for `endcap why`; 0: nothing of it is written.",
    "serve.canary_seconds": "How often the server measures how soon a list follows an event; 0: never.",
    "train": "What `endcap train` learns.",
    "train.tuned": "What `endcap tune` chose, a file beside this one, which goes before it; empty: not read.",
    "train.models": "Members of the blend, by name; none named: all. `endcap train --models` goes before it.",
    "train.validation_days": "The last days of the log, on which the weights of the blend are learnt.",
    "train.stacking": "Whether trees put the blend's best in order, where that is surely better on those days.",
    "train.als_factors": "Numbers per user and per item in the factor model (ALS).",
    "train.als_l2": "Its ridge penalty.",
    "train.als_alpha": "Confidence of an interaction of weight w: 1 + als_alpha * w.",
    "train.als_epochs": "Passes over the data.",
    "train.itemknn_similarity": "Of two items in item kNN: bm25 or cosine.",
    "train.itemknn_by": "What makes two items meet: the past of one user, or one session.",
    "train.itemknn_neighbours": "Similar items kept for each item.",
    "train.itemknn_decay": "An event of the history counts so many times as much as the one after it.",
    "train.session_knn_items": "The newest items of a visit that its list follows from.",
    "train.session_knn_sessions": "The newest sessions looked at for each of them.",
    "train.session_knn_neighbours": "The most similar of those that speak.",
    "train.session_knn_half_life_days": "So much older, a session counts half.",
    "train.projection_shrink": "Share of the mean variance added to the variance of every feature.",
    "train.projection_rank": "Numbers an item keeps.",
    "train.projection_recent": "Events of the history that speak.",
    "train.projection_decay": "An event of the history counts so many times as much as the one after it.",
    "train.transitions_window": "Places of a history that a transition from item to item may span.",
    "train.transitions_decay": "A transition over one place more counts so many times as much.",
    "train.transitions_back": "A transition against the order counts that much.",
    "train.transitions_damp_from": "How much an item that is often left says less each time, 0 to 1.",
    "train.transitions_damp_to": "How much an item that is often reached is taken down, 0 to 1.",
    "train.transitions_recency": "An event of the history counts so many times as much as the one after it.",
    "train.ease_l2": "Ridge penalty of EASE, in users.",
    "train.ease_dropout": "Share of a history that is thought away while fitting: takes down frequent items.",
    "train.ease_items": "The most frequent items that EASE learns; memory grows with the square.",
    "train.ease_recency": "An event of the history counts so many times as much as the one after it.",
    "train.bpr_factors": "Numbers per item in BPR.",
    "train.bpr_l2": "Its penalty.",
    "train.bpr_learning_rate": "Of each step.",
    "train.bpr_popular": "Other items are drawn by (their users) to this power; 0: all alike.",
    "train.bpr_epochs": "Passes over the pairs of user and item.",
    "train.structured_factors": "Numbers per item in the factor model with features.",
    "train.structured_l2": "Holds users at zero, and items at what their features say.",
    "train.structured_feature_l2": "Holds what is learnt of features at zero.",
    "train.structured_alpha": "Confidence of an interaction of weight w: 1 + structured_alpha * w.",
    "train.structured_recency": "An event of the history counts so many times as much as the one after it.",
    "train.structured_epochs": "Passes over the data.",
    "train.sequence_factors": "Numbers per item in sasrec, gru, lstm, caser and two_tower; the next six too.",
    "train.sequence_blocks": "Layers of attention or recurrence.",
    "train.sequence_length": "The newest events of a history that are read.",
    "train.sequence_dropout": "Share of numbers left out at random while fitting.",
    "train.sequence_learning_rate": "The greatest, after the warm-up.",
    "train.sequence_batch_size": "Histories to a step.",
    "train.sequence_epochs": "Passes over the data, at most: three without a better list for users held out end it.",
    "train.due_after": "Share of an item's usual repurchase interval after which it is due again.",
    "train.augment": "Further visits made of those there are: of crop, mask, reorder, substitute; none named: none.",
    "train.themes": "What people are interested in: topics (of words and visitors) or clusters (of item vectors).",
    "train.topics": "Topics, at most: one for 8 items where that is less.",
    "train.seed": "The same seed and the same log give the same model.",
    "encode": "Which pretrained models turn content into vectors. A change takes effect at the next `endcap train`.",
    "encode.text": "A built-in encoder, one that `endcap encoders list` shows, or `endpoint`.",
    "encode.image": "One that `endcap encoders list` shows; empty: images are not looked at.",
    "encode.speech": "What hears spoken queries; empty: they are refused.",
    "encode.language": "In which people speak: en, zh, de and so on; empty: found out each time, which takes a second.",
    "encode.image_folder": "Where an item's `image` that is no address is looked for; empty: nowhere.",
    "encode.image_hosts": "Hosts from which images may be fetched; none named: none is fetched.",
    "endpoint": "A server that gives vectors of texts in the way of OpenAI's /v1/embeddings, for `encode.text`.",
    "endpoint.address": "Up to and with /v1.",
    "endpoint.model": "As the server calls it.",
    "endpoint.key_env": "The variable of the environment that holds its key; empty: it needs none.",
    "endpoint.dim": "Numbers in a vector; answers with others are refused.",
    "endpoint.batch": "Texts in one request, at most.",
    "endpoint.timeout_seconds": "Of one request, from its start to the last byte of the answer.",
    "llm": "A language model behind a server, in the way of OpenAI's /v1/chat/completions. No `uses`: none is asked.",
    "llm.address": "Up to and with /v1.",
    "llm.model": "As the server calls it.",
    "llm.key_env": "The variable of the environment that holds its key; empty: it needs none.",
    "llm.uses": "What it is asked for: attributes, rewrite, rerank, reasons.",
    "llm.voice": "How the shop speaks, for the wording of reasons.",
    "llm.timeout_ms": "How long a list waits for one answer; then it goes out without.",
    "llm.patience_seconds": "How long an answer may take where nobody waits.",
}
"""What ``init`` writes above each table and key of config.toml."""


def default_toml() -> str:
    """Every setting at its default, commented out, so that a later default is not pinned by an untouched file."""
    blocks = ["# Endcap's settings. A line that starts with `# name =` shows a default: take the # away to change it."]
    config = Config()
    for table in fields(config):
        blocks.append(f"# {COMMENTS[table.name]}\n[{table.name}]")
        section = getattr(config, table.name)
        for key in fields(section):
            name = f"{table.name}.{key.name}"
            blocks.append(f"# {COMMENTS[name]}\n# {key.name} = {_toml(getattr(section, key.name))}")
    return "\n\n".join(blocks) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return json.dumps(value)  # JSON writes strings and numbers as TOML does


def make_home(home: Path) -> list[Path]:
    """Makes what is missing of ``home``; returns what it made. What is there stays as it is.

    Raises HomeError where it cannot write.
    """
    folders = [folder for folder in (home, *(home / name for name in FOLDERS)) if not folder.is_dir()]
    config = home / "config.toml"
    try:
        for folder in folders:
            folder.mkdir(parents=True)
        if config.exists():
            return folders
        config.write_text(default_toml(), encoding="utf-8")
    except OSError as error:
        raise HomeError(
            f"{error.filename}: {error.strerror}: a home folder cannot be made there; choose another with --home"
        ) from error
    return [*folders, config]


@click.command("init")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def init_command(home: Path, as_json: bool) -> None:
    """Make a home folder with a commented config.toml. What is there already stays as it is."""
    made = make_home(home)
    if as_json:
        click.echo(json.dumps({"home": str(home), "made": [str(path) for path in made]}))
    elif made:
        click.echo(f"Made {home}. Next: endcap import items FILE --home {home}")
    else:
        click.echo(f"{home} was complete already; nothing was changed.")
