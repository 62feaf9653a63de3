"""A whole page: several lists under their titles, and no item twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from endcap.explain.why import Language, quiet
from endcap.serving.engine import Answer, Engine, Request

_TITLES: dict[str, dict[Language, str]] = {
    "for-you": {"en": "For you", "zh": "为您推荐"},
    "similar": {"en": "Because you looked at “{item}”", "zh": "因为您看过“{item}”"},
    "bought-together": {"en": "Bought together with “{item}”", "zh": "常与“{item}”一起购买"},
    "buy-again": {"en": "Buy it again", "zh": "再次购买"},
    "trending": {"en": "Trending now", "zh": "正在流行"},
    "popular": {"en": "Popular", "zh": "广受欢迎"},
}


@dataclass(frozen=True, slots=True)
class Row:
    """One list of a page. It is a served list like any other, with a request id of its own."""

    title: str
    request: Request
    answer: Answer


def page(engine: Engine, request: Request, now: int) -> list[Row]:
    """The rows of a page for ``request`` (its ``k`` items each), the most personal first; empty rows are left out.

    What a row shows, no later row shows again. A new visitor gets what is in demand.
    """
    rows: list[Row] = []
    taken = request.exclude
    for wanted, title in _plan(engine, request):
        asked = replace(wanted, exclude=taken)
        answer = engine.recommend(asked, now)
        if answer.items:
            rows.append(Row(title, asked, answer))
            taken = (*taken, *(item.item_id for item in answer.items))
    return rows


def _plan(engine: Engine, request: Request) -> Iterator[tuple[Request, str]]:
    """The lists to try, each with its title."""
    language = request.language
    plain = replace(request, item_ids=(), query="")
    touched = _touched(engine, request)
    if touched:
        yield replace(plain, recipe="for-you"), _TITLES["for-you"][language]
        item = engine.state.shop.get(touched[-1])
        if item is not None:
            about = replace(plain, item_ids=(item.item_id,))
            for recipe in ("similar", "bought-together"):
                yield replace(about, recipe=recipe), _TITLES[recipe][language].format(item=quiet(item.title))
    for recipe in ("buy-again", "trending", "popular"):
        yield replace(plain, recipe=recipe), _TITLES[recipe][language]


def _touched(engine: Engine, request: Request) -> list[str]:
    """The items of the visitor's history, oldest first."""
    state = engine.state
    user = state.user_row(request.user_id, request.visitor_id)
    rows = state.history(user).items.tolist() if user >= 0 else []
    return [state.items.name(row) for row in rows]
