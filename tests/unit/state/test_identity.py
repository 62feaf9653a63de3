"""Who somebody is, before and after a login, and what is left of those who did not consent: nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from tests.unit.state.folds import CONFIG, SMALL, asked, did, fold, history, ids, joined, row, together, trending, visit
from tests.unit.state.streams import START, STREAMS

from endcap.events.schema import Event
from endcap.state.fold import State, apply
from endcap.state.snapshot import _pack
from endcap.types import Entry

# Who somebody is


def test_users_and_visitors_of_one_id_are_different_people() -> None:
    state = fold(did("view", "u:1", "a"), did("view", "v:1", "b"))
    assert (history(state, "u:1"), history(state, "v:1")) == (["a"], ["b"])
    assert list(state.users) == ["u:1", "v:1"]
    assert state.user_row("1", "1") == state.user_row("1", None) == 0
    assert state.user_row("2", None) == state.user_row(None, "2") == state.user_row(None, None) == -1


def test_an_event_with_both_ids_is_the_users_and_joins_nobody() -> None:
    state = fold(did("view", "v:1", "a"), did("view", "u:ann", "b", visitor_id="1"), did("view", "v:1", "c", at=1))
    assert (history(state, "u:ann"), history(state, "v:1")) == (["b"], ["a", "c"])


def test_identify_gives_the_visitors_past_and_future_to_the_user() -> None:
    before = [did("view", "v:1", "a", at=0), did("view", "u:ann", "b", at=1), did("dismiss", "v:1", "x", at=2)]
    state = fold(*before, joined("1", "ann", at=3), did("view", "v:1", "c", at=4))
    ann = row(state, "u:ann")
    assert state.user_row(None, "1") == ann
    assert state.user_key(None, "1") == "u:ann"
    assert history(state, "u:ann") == ["a", "b", "c"]
    assert state.history(ann).counts == {"view": 3, "dismiss": 1, "identify": 1}
    assert ids(state, state.dismissed(ann)) == ["x"]
    visitor = state.users.row("v:1")
    assert len(state.history(visitor)) == state.dismissed(visitor).size == 0, "nothing is held twice"


def test_the_visit_on_the_shops_pages_goes_on_when_the_visitor_logs_in() -> None:
    state = fold(did("view", "v:1", "a", at=0), joined("1", "ann", at=1), did("view", "u:ann", "b", at=2))
    assert visit(state, "u:ann") == ["a", "b"]
    over = fold(did("view", "v:1", "a", at=0), joined("1", "ann", at=40), did("view", "u:ann", "b", at=41))
    assert visit(over, "u:ann", at=41) == ["b"]


def test_the_visit_in_which_the_visitor_logs_in_stays_one_session() -> None:
    before = [did("cart", "u:ann", "x", at=-100), did("cart", "v:1", "a", at=0)]
    state = fold(*before, joined("1", "ann", at=1))
    ann = row(state, "u:ann")
    for index in (state.sessions, state.baskets):
        assert index.session_of(ann) == 1, "session kNN leaves out the shopper's own session from before the login"
        assert index.session_of(row(state, "u:1")) == index.session_of(state.users.row("v:1")) == -1
    apply(state, Entry(9, START, did("cart", "u:ann", "b", at=2)))
    assert together(state) == together(state, baskets=True) == [["x"], ["a", "b"]]


def test_after_a_login_the_visit_goes_on_that_it_happened_in() -> None:
    state = fold(
        did("view", "v:1", "a", at=0, session_id="laptop"),
        did("view", "u:ann", "b", at=1, session_id="phone"),
        joined("1", "ann", at=2),
        did("view", "u:ann", "c", at=3),
        did("view", "u:ann", "d", at=4, session_id="phone"),
    )
    assert together(state) == [["a", "c"], ["b", "d"]]
    assert (visit(state, "u:ann", 4, "laptop"), visit(state, "u:ann", 4, "phone")) == (["a", "c"], ["b", "d"])


def test_who_was_identified_longest_ago_is_somebody_new_again() -> None:
    config = replace(CONFIG, max_identified=2)
    logins = [joined("1", "ann"), joined("2", "bo"), joined("1", "ann"), joined("3", "cy")]
    state = fold(*logins, config=config)
    assert [state.user_key(None, name) for name in "123"] == ["u:ann", "v:2", "u:cy"]


def test_a_second_identify_moves_only_what_comes_after_it() -> None:
    state = fold(
        did("view", "v:1", "a", at=0),
        joined("1", "ann", at=1),
        did("view", "v:1", "b", at=2),
        joined("1", "bo", at=3),
        did("view", "v:1", "c", at=4),
        joined("1", "ann", at=5),
        did("view", "v:1", "d", at=6),
    )
    assert (history(state, "u:ann"), history(state, "u:bo")) == (["a", "b", "d"], ["c"])


def test_two_visitors_may_be_one_user() -> None:
    bodies = [
        did("view", "v:1", "a"),
        did("view", "v:2", "b", at=1),
        joined("1", "ann", at=2),
        joined("2", "ann", at=3),
    ]
    state = fold(*bodies)
    assert history(state, "u:ann") == ["a", "b"]
    assert state.user_row(None, "1") == state.user_row(None, "2") == row(state, "u:ann")


def test_the_same_identify_again_changes_only_what_any_event_does() -> None:
    late = [did("view", "u:ann", "b", at=10), did("view", "u:ann", "c", at=5)]
    state = fold(did("view", "v:1", "a"), joined("1", "ann", at=1), *late, joined("1", "ann", at=11))
    assert history(state, "u:ann") == visit(state, "u:ann", at=11) == ["a", "b", "c"]


def test_identify_without_a_visitor_joins_nobody() -> None:
    state = fold(did("view", "v:1", "a"), did("identify", "u:ann"), did("identify", "v:1"))
    assert (history(state, "u:ann"), history(state, "v:1")) == ([], ["a"])


def test_dismissed_items_are_remembered_and_are_no_sign_of_taste() -> None:
    state = fold(did("dismiss", "u:ann", "a", "b"), did("dismiss", "u:ann", "a"), did("view", "u:bo", "c"))
    assert ids(state, state.dismissed(row(state, "u:ann"))) == ["b", "a"], "the one dismissed last at the end"
    assert state.dismissed(row(state, "u:bo")).size == state.dismissed(-1).size == 0
    assert (history(state, "u:ann"), visit(state, "u:ann"), trending(state)["a"]) == ([], [], 0.0)


def test_of_dismissed_items_the_newest_are_remembered() -> None:
    config = replace(CONFIG, max_dismissed=2)
    state = fold(*(did("dismiss", "u:ann", item) for item in "abac"), config=config)
    assert ids(state, state.dismissed(0)) == ["a", "c"]
    state = fold(
        *(did("dismiss", "u:ann", item) for item in "ab"),
        did("dismiss", "v:1", "c", "d"),
        joined("1", "ann"),
        config=config,
    )
    assert ids(state, state.dismissed(row(state, "u:ann"))) == ["c", "d"]


# Consent


def test_without_consent_an_event_serves_its_visit_alone() -> None:
    state = fold(
        did("view", "u:ann", "a"),
        did("purchase", "v:1", "a", consent=False),
        did("dismiss", "v:1", "a", "unknown", at=1, consent=False),
    )
    query, hidden = asked(state, "v:1", at=2)
    assert (ids(state, query.session), hidden) == (["a"], ["a"])
    assert (query.user, query.history.size, list(state.users), list(state.items)) == (-1, 0, ["u:ann"], ["a"])
    assert (visit(state, "v:1", at=31), asked(state, "v:1", at=32)[1]) == (["a"], [])
    assert visit(state, "v:1", at=32) == []


def test_a_visit_holds_what_was_done_with_and_without_consent() -> None:
    state = fold(
        did("view", "u:ann", "a", at=0),
        did("view", "u:bo", "b", "c", at=0),
        did("view", "u:ann", "b", at=1, consent=False),
        did("view", "u:ann", "c", at=2),
        did("dismiss", "u:ann", "a", at=3),
        did("dismiss", "u:ann", "b", at=4, consent=False),
    )
    query, hidden = asked(state, "u:ann", at=5)
    assert (ids(state, query.session), ids(state, query.history), hidden) == (["a", "b", "c"], ["a", "c"], ["a", "b"])
    assert together(state) == [["a", "c"], ["b", "c"]]
    query, hidden = asked(state, "u:ann", at=60)
    assert (query.session.size, ids(state, query.history), hidden) == (0, ["a", "c"], ["a"])


def test_without_consent_nobody_is_joined_and_nothing_is_undone() -> None:
    state = fold(
        did("view", "v:1", "a"),
        joined("1", "ann", consent=False),
        did("purchase", "u:bo", "b"),
        did("return", "u:bo", "b", consent=False),
        did("cart", "u:bo", "b"),
        did("uncart", "u:bo", "b", consent=False),
    )
    assert state.user_key(None, "1") == "v:1"
    assert (history(state, "v:1"), history(state, "u:bo")) == (["a"], ["b", "b"])
    assert state.user_row("ann", None) == -1


def test_a_login_with_consent_does_not_take_along_what_was_done_without() -> None:
    secret = did("view", "v:1", "b", at=1, consent=False)
    state = fold(did("view", "v:1", "a"), did("view", "u:bo", "b"), secret, joined("1", "ann", at=2))
    assert visit(state, "u:ann", at=3) == visit(state, "v:1", at=3) == ["a"]
    assert len(state.private) == 0


def test_an_over_private_visit_is_let_go_at_the_owners_next_event_or_a_day_later() -> None:
    secret = did("view", "v:1", "a", consent=False)
    for other, kept in ((did("view", "v:2", "a", at=60), 1), (did("view", "v:1", "a", at=60), 0)):
        assert len(fold(secret, other).private) == kept
    assert len(fold(secret, did("view", "v:2", "a", at=24 * 60 + 31)).private) == 0


def test_private_visits_are_bounded() -> None:
    state = fold(*(did("view", f"v:{at}", "a", at=at, consent=False) for at in range(5)), config=SMALL)
    assert len(state.private) == SMALL.max_private_visits


_OF_THE_VISIT = ("events", "offset", "anchor", "private.")


@given(STREAMS)
@settings(max_examples=200, deadline=None)
def test_nothing_of_an_event_without_consent_outlives_its_visit(stream: list[Entry]) -> None:
    """The state is, to the last bit, that of a log which never had it."""

    def with_consent(entry: Entry) -> bool:
        return not (isinstance(entry.body, Event) and entry.body.consent is False)

    later = Entry(len(stream) + 1, START, did("view", "u:zoe", at=10_000_000))
    whole, clean = State(SMALL), State(SMALL)
    for entry in [*stream, later]:
        apply(whole, entry)
        if with_consent(entry):
            apply(clean, entry)
    assert len(whole.private) == 0
    kept, expected = _pack(whole), _pack(clean)
    for name in kept:
        if not name.startswith(_OF_THE_VISIT):
            np.testing.assert_array_equal(kept[name], expected[name], err_msg=name)
