"""What is personal is masked; nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.backends.chat.masking import masked, personal

KNOWN = {"u-17", "anna"}.__contains__


@pytest.mark.parametrize(
    ("text", "shown", "is_personal"),
    [
        ("red mug", "red mug", False),
        ("12 mugs", "[number] mugs", False),
        ("order of anna", "order of [id]", True),
        ("u-17", "[id]", True),
        ("call +49 (30) 123456 now", "call +[number] now", True),
        ("1234 5678", "[number]", True),
        ("a.b+c@shop.example mug", "[e-mail] mug", True),
        ("", "", False),
    ],
)
def test_masked(text: str, shown: str, is_personal: bool) -> None:
    assert masked(text, KNOWN) == shown
    assert personal(text, KNOWN) is is_personal


@given(st.text())
def test_no_digit_and_no_address_is_left(text: str) -> None:
    shown = masked(text, KNOWN)
    assert not any(char.isdecimal() for char in shown)
    assert not personal(shown.replace("[e-mail]", "").replace("[id]", ""), lambda _: False)
