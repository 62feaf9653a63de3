"""Themes of a shop with two kinds of things, clusters and topics, and profiles against sums by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import load, save

from endcap.errors import ModelError
from endcap.profiles.interests import Themes
from endcap.types import MS_PER_DAY, FloatArray, Interactions, Query, Vocabulary

DAY = MS_PER_DAY
MUGS, LAMPS = range(10), range(10, 20)
TEXTS = [(row, f"blue mug {row}") for row in MUGS] + [(row, f"desk lamp {row}") for row in LAMPS]


def vectors() -> FloatArray:
    found = np.zeros((22, 3), np.float32)
    found[MUGS, 0] = 1.0
    found[LAMPS, 1] = 1.0
    found[21, 1] = 1.0  # 20 says nothing, 21 came later and is like a lamp
    return found


def past() -> Interactions:
    """User 0 did two things with mugs, the older half as strong; user 1 one with a lamp; 2 one with a silent item."""
    return Interactions(
        users=Vocabulary("abc"),
        items=Vocabulary(map(str, range(21))),
        user=np.array([0, 0, 1, 2], np.int32),
        item=np.array([0, 11, 12, 20], np.int32),
        weight=np.array([1, 1, 2, 1], np.float32),
        time=np.array([10 * DAY, 0, 5 * DAY, 10 * DAY]),
        session=np.arange(4, dtype=np.int32),
    )


@pytest.fixture
def themes() -> Themes:
    return Themes(10 * DAY, "clusters").fit(TEXTS, vectors(), past(), seed=0)


@pytest.fixture
def topics() -> Themes:
    """Items 18 and 19 have no words; those who touch them touch lamps."""
    told = [*TEXTS[:18], (18, "18"), (19, "19")]
    return Themes(10 * DAY, "topics").fit(told, vectors(), busy_past(), seed=0)


def busy_past() -> Interactions:
    """Users 0 to 3 like mugs, 4 to 7 lamps, each but two of them; user 8 is torn, and 9 did nothing."""
    pairs = [(user, row) for user in range(4) for row in MUGS if row not in {user, user + 1}]
    pairs += [(user, row) for user in range(4, 8) for row in LAMPS if row not in {user + 8, user + 9}]
    pairs += [(8, 3), (8, 13), (8, 14), (8, 15)]
    user, item = np.array(pairs, np.int32).T
    ones = np.ones(user.size)
    return Interactions(
        users=Vocabulary("abcdefghij"),
        items=Vocabulary(map(str, range(21))),
        user=user,
        item=item,
        weight=ones.astype(np.float32),
        time=ones.astype(np.int64),
        session=user,
    )


def theme(themes: Themes, word: str) -> int:
    return next(number for number, name in enumerate(themes.names) if word in name[:2])


def test_kinds_of_things_become_themes_with_names_and_people(themes: Themes) -> None:
    assert sorted(themes.names) == [("blue", "mug"), ("desk", "lamp")]
    assert themes.people[theme(themes, "mug")] == 1
    assert themes.people[theme(themes, "lamp")] == 2


def test_an_item_without_a_vector_is_of_no_theme_and_a_newer_one_goes_by_its_own(themes: Themes) -> None:
    rows = np.array([3, 20, 21, -1, 99], np.int32)
    mug, lamp = theme(themes, "mug"), theme(themes, "lamp")
    assert_array_equal(themes.of(rows, vectors()), [mug, -1, lamp, -1, -1])
    assert_array_equal(themes.of(rows), [mug, -1, -1, -1, -1])


def test_a_profile_is_what_was_done_by_theme_and_age(themes: Themes) -> None:
    query = Query(
        history=np.array([11, 0], np.int32),
        weights=np.array([1, 1], np.float32),
        times=np.array([0, 10 * DAY]),
        now=10 * DAY,
    )
    profile = themes.profile(query)
    assert_allclose(profile[theme(themes, "mug")], 1 / 1.5, rtol=1e-6)
    assert_allclose(profile[theme(themes, "lamp")], 0.5 / 1.5, rtol=1e-6)
    assert_allclose(themes.profiles(past())[0], profile, rtol=1e-6)


def test_a_profile_of_nothing_is_zero(themes: Themes) -> None:
    assert_array_equal(themes.profile(Query()), [0, 0])
    assert_array_equal(themes.profiles(past())[2], [0, 0])


def test_a_history_without_times_or_weights_counts_each_event_once(themes: Themes) -> None:
    profile = themes.profile(Query(history=np.array([0, 1, 2, 10], np.int32)))
    assert_allclose(profile[theme(themes, "mug")], 0.75)


def test_a_small_shop_has_no_themes() -> None:
    small = Themes(DAY).fit(TEXTS[:3], vectors(), past(), seed=0)
    assert len(small) == 0
    assert small.profile(Query(history=np.array([0], np.int32))).size == 0
    assert small.profiles(past()).shape == (3, 0)
    assert len(Themes(DAY).from_arrays(small.to_arrays())) == 0


def test_themes_come_back_from_their_arrays(themes: Themes) -> None:
    again = Themes(10 * DAY).from_arrays(load(save(dict(themes.to_arrays()))))
    assert again.names == themes.names
    assert_array_equal(again.people, themes.people)
    assert_array_equal(again.profiles(past()), themes.profiles(past()))
    assert_array_equal(again.of(np.array([21], np.int32), vectors()), themes.of(np.array([21], np.int32), vectors()))


def test_topics_have_names_and_people_and_wordless_items_go_by_their_visitors(topics: Themes) -> None:
    assert sorted(name[:2] for name in topics.names) == [("blue", "mug"), ("desk", "lamp")]
    mug, lamp = theme(topics, "mug"), theme(topics, "lamp")
    assert topics.of(np.array([0, 9, 10, 17, 18, 19, 20], np.int32)).tolist() == [mug, mug, *[lamp] * 4, -1]
    assert (topics.people[mug], topics.people[lamp]) == (5, 5)


def test_a_newer_item_is_of_the_topic_whose_items_mean_something_near(topics: Themes) -> None:
    rows = np.array([21, 20, -1, 99], np.int32)
    assert_array_equal(topics.of(rows, vectors()), [theme(topics, "lamp"), -1, -1, -1])
    assert_array_equal(topics.shares(rows, vectors()).toarray()[:, theme(topics, "lamp")], [1, 0, 0, 0])


def test_a_profile_is_the_weighted_sum_of_the_shares(topics: Themes) -> None:
    rows = np.array([3, 13, 21, 20], np.int32)
    shares = topics.shares(rows, vectors()).toarray()
    assert_allclose(shares.sum(axis=1), [1, 1, 1, 0], rtol=1e-6)
    query = Query(history=rows, weights=np.array([2, 1, 4, 9], np.float32))
    assert_allclose(topics.profile(query, vectors()), (2 * shares[0] + shares[1] + 4 * shares[2]) / 7, rtol=1e-6)
    torn = (topics.shares(np.array([3, 13, 14, 15], np.int32)).toarray()).mean(axis=0)
    assert_allclose(topics.profiles(busy_past())[8], torn, rtol=1e-6)
    assert_array_equal(topics.profiles(busy_past())[9], 0)


def test_topics_come_back_from_their_arrays(topics: Themes) -> None:
    again = Themes(10 * DAY).from_arrays(load(save(dict(topics.to_arrays()))))
    assert again.names == topics.names
    assert_array_equal(again.people, topics.people)
    every = np.arange(22, dtype=np.int32)
    assert_array_equal(again.shares(every, vectors()).toarray(), topics.shares(every, vectors()).toarray())
    assert_array_equal(again.of(every, vectors()), topics.of(every, vectors()))


def test_themes_of_an_older_version_are_read(themes: Themes) -> None:
    """Before items had shares, each was of one theme or of none."""
    arrays = dict(themes.to_arrays())
    del arrays["shares"], arrays["starts"]
    rows = np.arange(21, dtype=np.int32)
    again = Themes(10 * DAY).from_arrays({**arrays, "of": themes.of(rows)})
    assert_array_equal(again.shares(rows).toarray(), themes.shares(rows).toarray())
    assert_array_equal(again.profiles(past()), themes.profiles(past()))


@pytest.mark.parametrize("kind", ["topics", "clusters"])
def test_an_empty_shop_has_no_themes(kind: Literal["topics", "clusters"]) -> None:
    nothing = replace(past().where(np.zeros(4, np.bool_)), users=Vocabulary(), items=Vocabulary())
    empty = Themes(DAY, kind).fit([], np.zeros((0, 3), np.float32), nothing, seed=0)
    assert (len(empty), empty.people.size) == (0, 0)
    assert empty.profile(Query(history=np.array([0], np.int32))).size == 0


@pytest.mark.parametrize("name", ["names", "centres", "of", "shares", "starts", "people"])
def test_arrays_that_do_not_fit_are_refused(themes: Themes, name: str) -> None:
    arrays = dict(themes.to_arrays())
    del arrays[name]
    with pytest.raises(ModelError, match="not what themes are kept as"):
        Themes(DAY).from_arrays(arrays)
    with pytest.raises(ModelError, match=re.escape("do not fit one another: run endcap train")):
        Themes(DAY).from_arrays({**themes.to_arrays(), "people": np.zeros(9, np.int32)})
