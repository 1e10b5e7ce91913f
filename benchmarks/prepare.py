"""Prepare against the tutorial's loop, on films as they are found.

    python benchmarks/prepare.py --films chest_xray.zip

The tutorial's loop opens one film after the other, brightens, contrasts, shrinks and saves it; ours also
hashes every file, finds copies and reads the facts that could give a class away. Both write JPEGs of the same
quality, whose pixels are then compared.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from results import Result, draw_phantoms, in_turns, parser, scratch, show

from pneumo_tf.cohort import Cohort
from pneumo_tf.data.images import JPEG_QUALITY
from pneumo_tf.data.listing import list_films
from pneumo_tf.data.preparation.prepare import prepare
from pneumo_tf.data.sources import open_source


def tutorial_loop(source: Path, films: list[str], folder: Path) -> None:
    """The tutorial's filters, film by film."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, film in enumerate(films):
        image = Image.open(source / film)
        image = ImageEnhance.Brightness(image).enhance(0.7)
        image = ImageEnhance.Contrast(image).enhance(2.0)
        image.thumbnail((299, 299), Image.Resampling.LANCZOS)
        image.save(folder / f"{number}.jpeg", quality=JPEG_QUALITY)


def find(source: Path) -> list[str]:
    with open_source(source) as opened:
        return [film.file for film in list_films(opened.entries()).films]


def same_pixels(films: list[str], loop: Path, cohort: Cohort, prepared: Path) -> str:
    """How many of our films have the loop's pixels; only those that were grey are comparable."""
    grey = [film for film in cohort if film.facts["mode"] == "L"]
    same = sum(np.array_equal(np.asarray(Image.open(loop / f"{films.index(film.source)}.jpeg")),
                              np.asarray(Image.open(prepared / film.file))) for film in grey)
    return f"{same} of {len(grey)} grey films"


def unpacked(films: Path | None, count: int, folder: Path) -> Path:
    """A folder of films: drawn, unpacked, or as it is."""
    if films is None:
        return draw_phantoms(folder / "phantoms", count)
    if films.is_dir():
        return films
    with zipfile.ZipFile(films) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def multiplied(source: Path, times: int, folder: Path) -> Path:
    """Each film so many times; a few bytes behind its end, which no decoder reads, make each another file."""
    for film in find(source):
        content = (source / film).read_bytes()
        for copy in range(times):
            target = (folder / film).with_stem(f"{copy}-{Path(film).stem}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content + copy.to_bytes(4))
    return folder


def main() -> None:
    options = parser(__doc__, films="folder or .zip of films as they were found (default: phantoms)")
    options.add_argument("--count", type=int, default=40, help="phantoms, where no films are given")
    options.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of ours")
    options.add_argument("--times", type=int, default=8, help="how often each film is prepared, as if it "
                         "were another one, so that starting the processes doesn't decide")
    options.add_argument("--rounds", type=int, default=3, help="turns of each")
    typed = options.parse_args()
    with scratch() as folder:
        source = multiplied(unpacked(typed.films, typed.count, folder), typed.times, folder / "films")
        films, turn = find(source), count(1)
        loop, ours = in_turns([
            lambda: tutorial_loop(source, films, folder / "loop"),
            lambda: prepare(source, folder / f"ours-{next(turn)}", workers=typed.workers)], typed.rounds)
        cohort = prepare(source, folder / "ours-1", tell=lambda text: None)
        same = same_pixels(films, folder / "loop", cohort, folder / "ours-1")
    show([Result(f"prepare {len(films)} films as found, {typed.workers} processes",
                 f"tutorial's loop {loop:.2f} s ({len(films) / loop:.0f} films/s)",
                 f"{ours:.2f} s ({len(films) / ours:.0f} films/s)", f"{loop / ours:.2f}×", "1.8×"),
          Result("identical pixels", "tutorial's loop", same, "–", "all")],
         how=f"The faster of {typed.rounds} turns each, starting the processes included.")


if __name__ == "__main__":
    main()
