"""The sentences of reasons in a shop's own voice: asked of a language model once, when a version is trained.

What it says is taken only if it could stand where the given sentence stands: the same placeholder, one line of about
the same length, in the same language. Whether it says the same no rule can tell: ``endcap train`` shows the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from endcap.explain.why import Language, sentences

Wording = Mapping[str, Mapping[str, str]]
"""By language, then by the name of the sentence (``why.sentences``)."""
ITEM = "{item}"
MAX_LONGER = 2.5
"""Times as long as the given sentence, at most, and 20 characters."""
LANGUAGES: dict[Language, str] = {"en": "English", "zh": "Chinese"}
SYSTEM = (
    "You reword short sentences that an online shop shows below a product, to say why it is shown. Keep the meaning "
    "exactly; promise nothing, and add no facts. Answer with one sentence in {language}, without quotation marks "
    "around it.{placeholder}{voice}"
)

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]")
_NOT_IN_A_SENTENCE = re.compile(r"[\x00-\x1f\x7f<>{}\[\]|\\:\uff1a\ufffd]|www\.|(.)\1{3}")


def tasks(voice: str) -> Iterator[tuple[Language, str, str, str]]:
    """Each sentence to be reworded: language, name, the task, the sentence."""
    tone = f" The shop speaks like this: {voice}" if voice else ""
    for name, said in sentences().items():
        for language, sentence in said.items():
            placeholder = f" Keep {ITEM} as it is; it stands for a product's name." if ITEM in sentence else ""
            yield (
                language,
                name,
                SYSTEM.format(language=LANGUAGES[language], placeholder=placeholder, voice=tone),
                sentence,
            )


def reworded(said: str, sentence: str, language: Language, task: str = "") -> str | None:
    """``said`` as it may stand instead of ``sentence``; None where it may not, or is only a part of the ``task``."""
    new = said.strip().strip('"').strip()
    if new.casefold() in task.casefold():  # small models say the task again
        return None
    bare = new.replace(ITEM, "", 1)
    if new.count(ITEM) != sentence.count(ITEM) or _NOT_IN_A_SENTENCE.search(bare):
        return None
    if not 2 <= len(new) <= MAX_LONGER * len(sentence) + 20:
        return None
    chinese, latin = len(_CJK.findall(bare)), len(_LATIN.findall(bare))
    fits = chinese == 0 < latin if language == "en" else chinese > latin
    return new.rstrip(".。") if fits else None
