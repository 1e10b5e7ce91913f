"""Names that people give: one spelling for each, and when two are the same."""

from __future__ import annotations

import re
import unicodedata

# Cyrillic and Greek letters that look like Latin ones.
_LATIN = str.maketrans("АВЕКМНОРСТУХІЈЅаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTYXIJSaeopcyxijsABEZHIKMNOPTYXo")


def clean(name: str) -> str:
    """The name in one Unicode form (NFC), without characters that can't be seen and spaces around it."""
    if name.isascii():
        return name.strip()
    composed = unicodedata.normalize("NFC", name)
    return "".join(sign for sign in composed if unicodedata.category(sign) != "Cf").strip()


def fold(name: str) -> str:
    """What names have in common that look alike: letters without case, accents and ways to set a space."""
    letters = unicodedata.normalize("NFKD", clean(name)).translate(_LATIN).casefold()
    # The marks from 200 on are accents; those below spell letters of their own, as in Japanese and Hindi.
    letters = "".join(sign for sign in letters if unicodedata.combining(sign) < 200)
    return re.sub(r"(?<=\w)[\s\-‐-―−]+(?=\w)", " ", letters.replace("_", " ")).strip()
