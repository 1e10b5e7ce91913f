"""The worklist as one page: films in order, each with its picture; from disk, or from a local server."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pneumo_tf.data.images import thumbnail
from pneumo_tf.errors import FilmError
from pneumo_tf.reading.answer import UNREADABLE
from pneumo_tf.reading.worklist import Group, Waiting
from pneumo_tf.report.rendering import fingerprint, render
from pneumo_tf.report.words import Language

WATCHED, SERVED = "watch", "serve"
SIDE = 640  # pixels of a film's longer side in the page
PICTURES = 300  # films whose pictures lie in a page on disk: about 15 MB
_COLUMNS = ("rank", "id", "call", "probability", "since", "reason")
_SCRIPT = Path(__file__).parents[1] / "report/templates/worklist.js"


@dataclass(frozen=True)
class Worklist:
    """What a page shows.

    Attributes:
        films: In their order.
        source: Where they came from, in words.
        run: Name of the run that judged them.
        moment: When.
        cautions: What speaks against believing the whole: sentences in the reader's language.
        overlays: Files of heat maps, by the films' ids.
    """

    films: Sequence[Waiting]
    source: str
    run: str
    moment: datetime
    cautions: Sequence[str] = ()
    overlays: dict[str, Path] | None = None


def worklist_page(worklist: Worklist, words: Language, *, live: str = "") -> str:
    """HTML of the worklist. Nothing in it is fetched but, from a server, the films of that server.

    Args:
        live: "" for a page that stays as it is; `WATCHED` for one that is renewed on disk; `SERVED` for one
            whose films come from the server that the page came from.
    """
    script = _SCRIPT.read_text(encoding="utf-8")
    pictures = {} if live == SERVED else _pictures(worklist)
    numbers = Counter(film.group for film in worklist.films)
    left = [] if live == SERVED or len(worklist.films) <= PICTURES else \
        [words.say("worklist.caution.left", n=words.number(PICTURES))]
    return render("worklist.html.j2", {
        "policy": policy(script, live=live), "live": live, "source": worklist.source, "run": worklist.run,
        "moment": worklist.moment.isoformat(timespec="seconds"),
        "shown_moment": words.moment(worklist.moment.isoformat()),
        "heading": words.say(f"worklist.heading.{'one' if len(worklist.films) == 1 else 'other'}",
                             n=words.number(len(worklist.films))),
        "cautions": [{"level": "caution", "text": text} for text in (*worklist.cautions, *left)],
        "groups": [("all", len(worklist.films)), *((group.value, numbers[group]) for group in Group)],
        "columns": _COLUMNS,
        "rows": [_row(film, worklist.moment, words) for film in worklist.films],
        "pictures": _json(pictures), "script": Markup(script),
        "texts": _json({key.removeprefix("worklist.js."): text for key, text in words.texts.items()
                        if key.startswith("worklist.js.")})}, words)


def policy(script: str, *, live: str = "") -> str:
    """The page's Content-Security-Policy: this one script, and no address but a server's own."""
    own = "'self'" if live == SERVED else "'none'"
    return (f"default-src 'none'; script-src '{fingerprint(script)}'; style-src 'unsafe-inline'; "
            f"img-src data: {'' if live != SERVED else own}; connect-src {own}; base-uri 'none'; "
            "form-action 'none'")


def call_in_words(film: Waiting, words: Language) -> str:
    """What a film is called, or that a person must read it."""
    return words.say("worklist.call.person") if film.group is Group.PERSON else film.answer.call


def key_of(film: Waiting) -> str:
    """What names a film in the page and to its server: its place changes while a page is open."""
    return hashlib.sha256(film.answer.id.encode()).hexdigest()[:20]


def _row(film: Waiting, moment: datetime, words: Language) -> dict[str, Any]:
    answer = film.answer
    has_range = answer.low is not None and answer.high is not None
    return {
        "key": key_of(film), "group": film.group.value, "id": answer.id, "call": call_in_words(film, words),
        "probability": "" if answer.probability is None else words.percent(answer.probability, 0),
        "probability_value": "" if answer.probability is None else f"{answer.probability:.6f}",
        "interval": words.between(words.percent(answer.low or 0, 0), words.percent(answer.high or 0, 0))
        if has_range else "",
        "since": film.arrived.isoformat(timespec="seconds"),
        "waited": words.duration(max(0.0, (moment - film.arrived).total_seconds())),
        "reason": answer.reason, "unreadable": answer.refusal == UNREADABLE}


def _pictures(worklist: Worklist) -> dict[str, dict[str, str]]:
    """Pictures of the first films as data URIs, by their keys; none of those that can't be read."""
    found: dict[str, dict[str, str]] = {}
    for film in worklist.films[:PICTURES]:
        try:
            found[key_of(film)] = {"film": _uri("jpeg", thumbnail(film.file, (SIDE, SIDE)))}
        except FilmError:
            continue
        if overlay := (worklist.overlays or {}).get(film.answer.id):
            found[key_of(film)]["overlay"] = _uri("png", overlay.read_bytes())
    return found


def _uri(kind: str, picture: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _json(content: object) -> Markup:
    """JSON that can stand within a script element, whatever names it holds."""
    return Markup(json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"))
