"""Names that people give: one spelling for each, which ones look alike, and which class is healthy."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence

from pneumo_tf.errors import LabelError, OptionError, choose_from

# Cyrillic and Greek letters that look like Latin ones.
_LATIN = str.maketrans("АВЕКМНОРСТУХІЈЅаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTYXIJSaeopcyxijsABEZHIKMNOPTYXo")
_HEALTHY = re.compile(r"normal(?:s|es)?|healthy|saludables?|san[oa]s?|benign[oa]?s?|na?ev(?:us|i)|nevos?|"
                      r"moles?|lunar(?:es)?|controls?|controles|neg|negativ(?:es?|[oa]s?)|absent|absence|"
                      r"ausentes?|ausencia|uninfected|unaffected|unremarkable|(?:no|non|not|sin|without)(?:findings?|"
                      r"hallazgos?|disease|enfermedad|tumou?r|cancer|covid|dr|tb|pneumonia|neumonia|nodules?)")
# Healthy only where the name says no more: a clear film, but a clear cell carcinoma.
_HEALTHY_ALONE = re.compile(r"0|clear|clean|limpi[oa]|despejado|false|falso|none|ningun[oa]")
_FILM = re.compile(r"chest|torax|lungs?|pulmon(?:es)?|films?|x|rays?|xrays?|cxr|rx|images?|class|clase|"
                   r"radiografias?")
_NOT = ("no", "non", "not", "sin", "without", "wo", "nao")


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


def refuse_twins(names: Iterable[str]) -> None:
    """Raise a LabelError where two classes would be taken for one by whoever reads them."""
    spellings: dict[str, str] = {}
    for name in names:
        if (first := spellings.setdefault(fold(name), name)) != name:
            raise LabelError("Classes must not look alike but for case, accents or spaces.",
                             received=f"{first!r} and {name!r}", remedy="Give both the same spelling.")


def is_healthy(name: str) -> bool:
    """Whether a class says in English or Spanish that nothing was found: normal, sano, no finding."""
    words = re.findall(r"[^\W\d_]+", fold(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", clean(name))))
    for before, word in zip(["", *words], [*words, ""], strict=True):
        if _HEALTHY.fullmatch(word):
            return before not in _NOT
        if before in _NOT:
            return not _HEALTHY_ALONE.fullmatch(word)
    told = [word for word in re.findall(r"\w+", fold(name)) if not _FILM.fullmatch(word)]
    return len(told) == 1 and bool(_HEALTHY_ALONE.fullmatch(told[0]))


def positive_class(classes: Sequence[str], wanted: str | None = None) -> str:
    """The class to be found: the wanted one, else the one of two that isn't healthy.

    Of more classes, each is judged by itself; the first that comes to stand for them is never a healthy one.

    Args:
        classes: All there are, at least two.
        wanted: What was asked for, in any case and with or without accents; None leaves it to the names.

    Raises:
        OptionError: The wanted class isn't among them, or the names of two classes don't tell.
    """
    if wanted is not None:
        found = [name for name in classes if fold(name) == fold(wanted)]
        if not found:
            raise OptionError("The positive class must be one of the labels.", received=wanted,
                              remedy=choose_from(classes, wanted))
        return found[0]
    ill = [name for name in classes if not _is_negative(name, classes)]
    if len(classes) == 2 and len(ill) != 1:
        raise OptionError("Which of two classes is to be found must be known.",
                          received=f"{' and '.join(classes)}, of which "
                                   f"{'neither' if ill else 'each'} has the name of the healthy",
                          remedy="Say it with " + " or ".join(f"--positive {shlex.quote(name)}"
                                                              for name in classes) + ".")
    usual = [name for name in ill if fold(name) in ("pneumonia", "neumonia")]
    return (usual or ill or list(classes))[-1]


def _is_negative(name: str, classes: Sequence[str]) -> bool:
    """Healthy by its words, or the name of an ill class behind a "non"."""
    joined = fold(name).replace(" ", "")
    others = [fold(other).replace(" ", "") for other in classes if not is_healthy(other)]
    return is_healthy(name) or any(joined == no + other for no in _NOT for other in others)
