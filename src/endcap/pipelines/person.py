"""Whose an entry of the log is: the rule of the fold, over the whole log.

An entry with a user id is that user's. One with a visitor id alone is the user's that the visitor was identified as
at that time, or, before the first ``identify``, the user's that it was identified as first. A visitor who was never
identified is a person of its own, unless all that ever bore its id beside a user id was of one user: then it is that
user's too. A served list that names nobody is whose session it names. One difference from the fold is meant: what was
done without consent before the login is the user's here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from endcap.errors import DamagedEntryError
from endcap.events.log import Named, named
from endcap.protocols import Log
from endcap.types import Record


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asked for: a user, or a visitor as somebody of its own."""

    user_id: str | None = None
    visitor_id: str | None = None

    def key(self) -> str:
        """As the state's vocabulary of people writes it."""
        return f"v:{self.visitor_id}" if self.user_id is None else f"u:{self.user_id}"


@dataclass(slots=True)
class _Visitor:
    """What is known of one visitor id that may be of interest."""

    owner: str | None = None
    """The user that it was identified as last."""
    beside_theirs: bool = False
    """Whether it was sent with the id of one of the users that are asked for."""
    beside_others: bool = False
    """Whether it was sent with the id of any other."""
    alone: list[tuple[int, str | None]] = field(default_factory=list)
    """Entries that name nobody else, with their session ids, as long as it is not identified."""


class Finder:
    """Collects the entries of some people, from records in the order of the log, the first one on.

    Bounded by what those people did: of all others nothing is remembered, but for the sessions of lists that name
    nobody.
    """

    def __init__(self, people: Iterable[Person], visitors: Iterable[str]) -> None:
        """``visitors``: all that the log names beside the ids of ``people``, as ``visitors_beside`` finds them."""
        asked = list(people)
        self._users = frozenset(one.user_id for one in asked if one.user_id is not None)
        self._guests = frozenset(one.visitor_id for one in asked if one.user_id is None and one.visitor_id is not None)
        self._visitors = {name: _Visitor() for name in (*visitors, *self._guests)}
        self._taken: set[int] = set()
        self._sessions: set[str] = set()
        self._nobodys: dict[str, list[int]] = {}
        """Lists that name nobody, by session id."""
        self.strangers = False
        """Whether a visitor has turned up beside one of the users that was not among ``visitors``: begin again."""
        self.damaged: list[int] = []
        """Entries that no version can read any more. They may be anybody's, so they count as theirs too."""

    def add(self, offset: int, record: Record) -> None:
        """Take in the next record. Raises HomeError for one that another version may read."""
        try:
            who = named(record)
        except DamagedEntryError:
            self.damaged.append(offset)
            return
        if who is None:
            return
        if who.user_id is not None:
            self._add_user(offset, who, who.user_id)
        elif who.visitor_id is not None:
            self._add_visitor(offset, who, who.visitor_id)
        elif who.session_id is not None:
            self._nobodys.setdefault(who.session_id, []).append(offset)

    def _add_user(self, offset: int, who: Named, user: str) -> None:
        theirs = user in self._users
        if theirs:
            self._take(offset, who.session_id)
            self.strangers |= who.visitor_id is not None and who.visitor_id not in self._visitors
        visitor = None if who.visitor_id is None else self._visitors.get(who.visitor_id)
        if visitor is None:
            return
        visitor.beside_theirs |= theirs
        visitor.beside_others |= not theirs
        if who.type == "identify" and who.consent is not False:
            for one in visitor.alone if theirs else ():
                self._take(*one)
            visitor.alone, visitor.owner = [], user

    def _add_visitor(self, offset: int, who: Named, name: str) -> None:
        visitor = self._visitors.get(name)
        if visitor is None:
            return
        if visitor.owner is None:
            visitor.alone.append((offset, who.session_id))
        elif visitor.owner in self._users:
            self._take(offset, who.session_id)

    def _take(self, offset: int, session_id: str | None) -> None:
        self._taken.add(offset)
        if session_id is not None:
            self._sessions.add(session_id)

    def taken(self) -> set[int]:
        """The offsets of all that is theirs, or may be, as far as the records go that were added."""
        nobodys = (offset for session in self._all_sessions() for offset in self._nobodys.get(session, ()))
        return self._taken.union(self.damaged, (offset for offset, _ in self._alone()), nobodys)

    def names(self) -> Iterator[str]:
        """Each name that a list of theirs may go by, as ``name_of`` writes it."""
        yield from (name_of(user, None, None) for user in self._users)
        yield from (name_of(None, visitor, None) for visitor in self.visitors())
        yield from (name_of(None, None, session) for session in self._all_sessions())

    def _alone(self) -> list[tuple[int, str | None]]:
        return [one for name in self.visitors() for one in self._visitors[name].alone]

    def _all_sessions(self) -> set[str]:
        return self._sessions.union(session for _, session in self._alone() if session is not None)

    def visitors(self) -> list[str]:
        """The visitor ids that are theirs: asked for, identified as one of the users, or sent with nobody else's id."""
        return [name for name, one in self._visitors.items() if self._is_theirs(name, one)]

    def _is_theirs(self, name: str, one: _Visitor) -> bool:
        if one.owner is not None:
            return one.owner in self._users
        return name in self._guests or (one.beside_theirs and not one.beside_others)

    def known(self) -> int:
        """How many of the visitors that were asked for are known as a user who was not."""
        return sum(
            self._visitors[name].owner is not None and not self._is_theirs(name, self._visitors[name])
            for name in self._guests
        )

    def others(self) -> int:
        """How many visitor ids they share with other users: what those did without a user id stays."""
        return sum(one.beside_theirs and not self._is_theirs(name, one) for name, one in self._visitors.items())


def name_of(user_id: str | None, visitor_id: str | None, session_id: str | None) -> str:
    """By which of its ids an entry is somebody's; empty where it has none."""
    ids = zip("uvs", (user_id, visitor_id, session_id), strict=True)
    return next((f"{kind}:{one}" for kind, one in ids if one is not None), "")


def visitors_beside(people: Iterable[Person], records: Iterable[tuple[int, Record]]) -> set[str]:
    """The visitor ids that ``records`` name together with the user id of one of ``people``."""
    users = {one.user_id for one in people if one.user_id is not None}
    found = set()
    for _, record in records if users else ():
        try:
            who = named(record)
        except DamagedEntryError:
            continue
        if who is not None and who.user_id in users and who.visitor_id is not None:
            found.add(who.visitor_id)
    return found


def find(log: Log, people: Iterable[Person]) -> tuple[Finder, int]:
    """All that ``log`` holds of ``people``, and the last entry that was looked at. Reads the log twice."""
    asked = list(people)
    while True:
        finder, last = Finder(asked, visitors_beside(asked, log.read())), 0
        for offset, record in log.read():
            finder.add(offset, record)
            last = offset
        if not finder.strangers:  # who came in between the two readings
            return finder, last


def entries_of(log: Log, offsets: Iterable[int]) -> Iterator[tuple[int, Record]]:
    """The records at ``offsets``, ascending, as long as they are there."""
    for offset in sorted(offsets):
        found = next(iter(log.read(offset - 1, 1)), None)
        if found is not None and found[0] == offset:
            yield found
