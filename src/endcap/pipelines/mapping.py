"""Which column of a file holds which of our fields: found by name, or given, and shown before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from endcap.errors import DataError


@dataclass(frozen=True, slots=True)
class Columns:
    """What each of our fields is read from."""

    found: Mapping[str, str]
    """Our field, and the file's column."""
    others: tuple[str, ...]
    """The file's columns that are none of our fields."""


def match_columns(
    seen: Sequence[str], known: Mapping[str, Sequence[str]], given: Mapping[str, str], where: str
) -> Columns:
    """The columns among ``seen`` that our fields are read from; ``given`` (ours: theirs) comes first.

    ``known`` has the names a field goes by. Raises DataError for a name in ``given`` that does not exist; ``where``
    names the file.
    """
    for ours, theirs in given.items():
        if ours not in known:
            raise DataError(f"--map {ours}={theirs}: there is no field {ours!r}; there are {', '.join(known)}")
        if theirs not in seen:
            raise DataError(f"--map {ours}={theirs}: {where} has no column {theirs!r}; it has {_listed(seen)}")
    found = dict(given)
    free = {_plain(name): name for name in reversed(seen) if name not in given.values()}
    for ours, names in known.items():
        if ours in found:
            continue
        named = next((_plain(name) for name in names if _plain(name) in free), None)
        if named is not None:
            found[ours] = free.pop(named)
    taken = set(found.values())
    return Columns(found, tuple(name for name in seen if name not in taken))


def need(columns: Columns, seen: Sequence[str], needed: Sequence[Sequence[str]], where: str, hint: str = "") -> None:
    """Raises DataError if, of each group of fields in ``needed``, not at least one is there."""
    missing = [" or ".join(group) for group in needed if not any(name in columns.found for name in group)]
    if missing:
        raise DataError(
            f"{where} has no column for {', '.join(missing)}; it has {_listed(seen)}; "
            f"say which one it is with --map {missing[0].split(' ')[0]}=COLUMN{hint if missing[0] == 'type' else ''}"
        )


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """``our=theirs`` pairs as a table. Raises DataError for anything else."""
    table: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise DataError(f"--map {pair}: write our=theirs, for example --map user_id=CustomerID")
        table[ours.strip()] = theirs.strip()
    return table


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 30} more" if len(names) > 30 else ""
    return ", ".join(names[:30]) + more
