"""Films that are one and the same picture though their files differ: saved again, resized, brightened."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from pneumo_tf.cohort import Cohort, Radiograph

Film = NDArray[np.uint8]
Halves = NDArray[np.float16]

# Of 13.2 million pairs of films of different children (5,138 films) the likest reaches 0.78. Copies of 300 of
# these films, saved at JPEG quality 10, halved, or with a gamma of 0.7 or 1.4, all lie above 0.95.
ALIKE = 0.85
_SIDE, _BLUR = 64, 3.0
_BLOCK = 256
# More films aren't compared all with all, which takes a minute of these and a day of a million.
_MANY = 20_000
_COPY, _FOUND = 0.95, 0.999  # the likeness of a copy, and the chance that such a pair is found among so many
_LISTED = 100


class Pair(NamedTuple):
    """Two films, by their rows, that look the same; the likeness is a correlation from 0.85 to 1."""

    first: int
    second: int
    likeness: float


def find_pairs(films: Iterable[Film]) -> list[Pair]:
    """Every pair of films that look the same, the likest first.

    All chests look alike in the coarse: of those 13.2 million pairs 52,000 lie within 12 of the 63 bits of a
    perceptual hash, and some correlate by 0.96 at 32 × 32 pixels. So each film is taken at 64 × 64, what is
    left of it after a blur is subtracted, and the ribs, vessels and edges that remain are correlated, all
    films with all. More than 20,000 films are compared where they fall together in one of many random cuts,
    which a pair of likeness 0.95 does with a chance of 99.9 %, and one of 0.9 with about 90 %. Not found:
    copies moved or cropped by a hundredth of the side, turned by 3°, or mirrored.

    Args:
        films: uint8 (H, W), (H, W, 1) or (H, W, 3) each; read once. 8 kB a film are kept, on disk.
    """
    with tempfile.TemporaryFile() as file:
        count = 0
        for detail in map(_detail, films):
            file.write(detail.tobytes())
            count += 1
        if not count:
            return []
        file.flush()
        details = np.memmap(file, np.float16, "r", shape=(count, _SIDE * _SIDE))
        pairs = list(_alike(details) if count <= _MANY else _likely(details))
    return sorted(pairs, key=lambda pair: (-pair.likeness, pair.first, pair.second))


def find_known(films: Iterable[Film], known: Iterable[Film]) -> NDArray[np.bool_]:
    """Which of the films look the same as one of those known, by the measure of `find_pairs`."""
    new, old = _details(films).astype(np.float32), _details(known)
    found = np.zeros(len(new), bool)
    for start in range(0, len(old), _BLOCK):
        found |= (new @ old[start : start + _BLOCK].astype(np.float32).T >= ALIKE).any(axis=1)
    return found


def near_duplicates(cohort: Cohort, films: Iterable[Film]) -> dict[str, Any]:
    """The films of a cohort that look the same, ready for JSON.

    Args:
        cohort: With a split.
        films: Their pixels, in its order, as for `find_pairs`.

    Returns:
        `films`, `pairs` in all, `across` splits, and `found` of {"ids", "splits", "patients", "labels",
        "likeness"}: those across splits first, since there the network is tested on what it learnt; then
        those under two labels; at most 100 are named.
    """
    pairs = find_pairs(films)
    records = [_record(cohort.radiographs[pair.first], cohort.radiographs[pair.second], pair.likeness)
               for pair in pairs]
    records.sort(key=lambda record: (not _differ(record["splits"]), not _differ(record["labels"])))
    return {"films": len(cohort), "pairs": len(pairs),
            "across": sum(_differ(record["splits"]) for record in records), "found": records[:_LISTED],
            "method": f"correlation of {_SIDE} × {_SIDE} pixels less their blur, at least {ALIKE}"}


def _details(films: Iterable[Film]) -> Halves:
    """(N, 4096)."""
    return np.asarray(np.fromiter(map(_detail, films), np.dtype((np.float16, _SIDE * _SIDE))), np.float16)


def _detail(film: Film) -> Halves:
    """(4096,) of length 1, in eleven bits; zeros for a film without any detail, which is like no other."""
    small = cv2.resize(film, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    grey = small.mean(axis=2) if small.ndim == 3 else small
    fine = grey - cv2.GaussianBlur(grey, (0, 0), _BLUR)
    fine -= fine.mean()
    length = float(np.linalg.norm(fine))
    return (fine / length if length > 1 else np.zeros_like(fine)).ravel().astype(np.float16)


def _alike(details: Halves) -> Iterator[Pair]:
    """Block by block, so that the memory stays that of two blocks and their likenesses."""
    starts = range(0, len(details), _BLOCK)
    for above, left in combinations_with_replacement(starts, 2):
        rows, columns = (details[start : start + _BLOCK].astype(np.float32) for start in (above, left))
        likeness = rows @ columns.T
        for row, column in np.argwhere(likeness >= ALIKE).tolist():
            if above + row < left + column:
                yield Pair(above + row, left + column, min(float(likeness[row, column]), 1.0))


def _likely(details: Halves) -> Iterator[Pair]:
    """Pairs on the same side of every plane of some table, compared (Charikar 2002, STOC 380).

    A random plane through the origin parts two films with a chance of their angle over π. A table has so many
    planes that few films of n share one side of all by chance, and there are so many tables that a copy does
    in one of them.
    """
    count = len(details)
    bits = int(np.ceil(np.log2(count))) + 4
    together = (1 - np.arccos(_COPY) / np.pi) ** bits
    tables = int(np.ceil(np.log(1 - _FOUND) / np.log(1 - together)))
    planes = np.random.default_rng(0).standard_normal((details.shape[1], tables * bits), dtype=np.float32)
    sides = np.empty((tables, count), np.int64)
    for start in range(0, count, _BLOCK):
        above = details[start : start + _BLOCK].astype(np.float32) @ planes > 0
        sides[:, start : start + _BLOCK] = (above.reshape(-1, tables, bits) @ (1 << np.arange(bits))).T
    sides[:, sides.max(axis=0) == 0] = -1 - np.flatnonzero(sides.max(axis=0) == 0)  # films without detail
    found = np.unique(np.concatenate([_on_one_side(table) for table in sides]), axis=0)
    for start in range(0, len(found), _BLOCK):
        first, second = found[start : start + _BLOCK].T
        pair = (details[rows].astype(np.float32) for rows in (first, second))
        likeness = np.einsum("ij,ij->i", *pair)
        for place in np.flatnonzero(likeness >= ALIKE):
            yield Pair(int(first[place]), int(second[place]), min(float(likeness[place]), 1.0))


def _on_one_side(table: NDArray[np.int64]) -> NDArray[np.intp]:
    """int (p, 2): every two films, in order, that a table has on the same side."""
    order = np.argsort(table, kind="stable")
    sorted_sides, pairs = table[order], [np.empty((0, 2), np.intp)]
    for apart in range(1, len(order)):
        same = sorted_sides[apart:] == sorted_sides[:-apart]
        if not same.any():
            break
        pairs.append(np.stack([order[:-apart][same], order[apart:][same]], axis=1))
    return np.concatenate(pairs)


def _record(first: Radiograph, second: Radiograph, likeness: float) -> dict[str, Any]:
    both = (first, second)
    return {"ids": [film.id for film in both], "splits": [film.split for film in both],
            "patients": [film.patient for film in both], "labels": [film.label for film in both],
            "likeness": likeness}


def _differ(pair: list[str]) -> bool:
    return pair[0] != pair[1]
