"""What a listener should expect of a catalogue."""

from __future__ import annotations

from endcap.encoders.prompting import WORDS_OF_TITLES, telling_words


def test_few_titles_are_expected_as_they_stand() -> None:
    assert telling_words([" Iced Mocha", "latte", "LATTE", ""]) == ["iced mocha", "latte"]


def test_words_of_many_titles_come_by_how_telling_they_are() -> None:
    titles = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("mug", "clock")]
    titles += [f"set of {n} red mug holder and spoon" for n in range(WORDS_OF_TITLES)]
    found = telling_words(titles)
    # spoon ends 120 titles, mug is in 123 and ends 3, red in 123 and ends none
    assert found[:4] == ["spoon", "mug", "red", "holder"]
    assert found.index("clock") < found.index("blue")
    assert not {"set", "and", "of"} & set(found)
    assert telling_words(titles, most=2) == ["spoon", "mug"]


def test_chinese_titles_give_their_short_runs() -> None:
    titles = [f"红色杯子 {n} 款" for n in range(WORDS_OF_TITLES)]
    assert telling_words(titles) == ["红色杯子"]


def test_an_empty_catalogue_expects_nothing() -> None:
    assert telling_words([]) == []
