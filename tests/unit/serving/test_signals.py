"""Who is woken by which event."""

from __future__ import annotations

from endcap.config import StateConfig
from endcap.events.schema import Event
from endcap.serving.signals import Signals
from endcap.state.fold import State, apply
from endcap.types import Entry

NOW = 1_764_000_000_000


class Stream:
    """A state with its signals; each event is applied, then told."""

    def __init__(self) -> None:
        self.state = State(StateConfig())
        self.signals = Signals(self.state)

    def happens(self, kind: str, user_id: str | None, visitor_id: str | None) -> None:
        event = Event(kind, NOW, None, user_id, visitor_id, item_id="cup")
        apply(self.state, Entry(self.state.offset + 1, NOW, event))
        self.signals.event(event)


def test_only_the_visitor_of_the_event_is_woken() -> None:
    stream = Stream()
    with stream.signals.subscribed("ann", None) as ann, stream.signals.subscribed(None, "v1") as visitor:
        stream.happens("view", "ann", None)
        assert (ann.is_set(), visitor.is_set()) == (True, False)
        ann.clear()
        stream.happens("view", None, "v1")
        assert (ann.is_set(), visitor.is_set()) == (False, True)


def test_a_user_id_is_no_visitor_id() -> None:
    stream = Stream()
    with stream.signals.subscribed(None, "ann") as visitor:
        stream.happens("view", "ann", None)
        assert not visitor.is_set()


def test_the_event_of_the_user_wakes_who_waits_for_the_visitor_that_was_joined_before() -> None:
    stream = Stream()
    stream.happens("identify", "ann", "v1")
    with stream.signals.subscribed(None, "v1") as changed:
        stream.happens("view", "ann", None)
        assert changed.is_set()


def test_the_event_of_the_user_wakes_who_waits_for_the_visitor_that_is_joined_later() -> None:
    stream = Stream()
    with stream.signals.subscribed(None, "v1") as changed:
        stream.happens("identify", "ann", "v1")
        assert changed.is_set(), "the history is another one now"
        changed.clear()
        stream.happens("view", "ann", None)
        assert changed.is_set()


def test_everyone_is_woken_and_who_has_gone_is_not() -> None:
    stream = Stream()
    with stream.signals.subscribed("ann", None) as ann:
        with stream.signals.subscribed(None, None) as nobody:
            pass
        stream.signals.everyone()
        assert (ann.is_set(), nobody.is_set()) == (True, False)


def test_nothing_is_kept_of_who_has_gone() -> None:
    stream = Stream()
    with stream.signals.subscribed(None, "v1"):
        stream.happens("identify", "ann", "v1")
    assert stream.signals._waiting == {}
