"""What is done to each film of a source, in whichever process: its bytes are looked at, its pixels filtered.

This module imports neither pandas nor scikit-learn, so that worker processes start quickly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pneumo_tf.data.dicom import Identity, identify
from pneumo_tf.data.images import film_depth, film_facts, open_film, prepared_jpeg, read_film, refuse_blank
from pneumo_tf.data.preparation.filters import FilterOptions, find_lungs, framed_and_filtered
from pneumo_tf.data.shards import write_shard
from pneumo_tf.data.sources import Source
from pneumo_tf.errors import FilmError
from pneumo_tf.storage import read_json, replacing, write_json

NO_LUNGS = "no lungs found: cropped to its middle"


class Inspection(NamedTuple):
    """What the bytes of a file tell: hash, facts, bits of grey beyond 8, of DICOM whose film it is; or the
    trouble with them."""

    sha256: str
    facts: dict[str, str]
    trouble: str
    depth: int | None = None
    identity: Identity | None = None


def inspect_film(file: str, *, source: Source) -> Inspection:
    """Hash and facts of one file of the source."""
    try:
        data = source.read(file)
    except OSError as failure:
        return Inspection("", {}, _cannot_be_opened(failure))
    sha256, identity = hashlib.sha256(data).hexdigest(), identify(data)
    try:
        image = open_film(data, decode=False)
        depth = film_depth(open_film(data)) if image.mode.startswith("I") else None
        return Inspection(sha256, film_facts(image, data), "", depth, identity)
    except FilmError as failure:
        return Inspection(sha256, {}, failure.received, identity=identity)


class Filtered(NamedTuple):
    """What became of a film: the trouble with it, what is odd about it, and facts of its frame."""

    trouble: str = ""
    note: str = ""
    framing: Mapping[str, str] = {}


def has_lungs(file: str, *, source: Source) -> bool:
    """Whether a file is a film with plausible lungs."""
    try:
        return find_lungs(read_film(source.read(file))) is not None
    except (OSError, FilmError):
        return False


def waiting_name(sha256: str) -> str:
    """What a film is called until it has its name, and in a shard for good: by the hash of its original."""
    return f"{sha256}.jpeg"


def filter_film(film: tuple[str, str], *, source: Source, folder: Path, filters: FilterOptions) -> Filtered:
    """Filter one film and write it to `folder` as `<sha256>.jpeg`, unless that is there already.

    Args:
        film: Its file within the source, and the hash of its bytes.

    Raises:
        StorageError: The disk refuses.
    """
    file, sha256 = film
    path = folder / waiting_name(sha256)
    record = path.with_suffix(".json")  # so that a resumed preparation needn't read the film again
    if path.exists():
        return Filtered(**read_json(record))
    found, content = _filtered(file, source, filters)
    if content:
        write_json(record, found._asdict())
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    return found


def filter_shard(shard: tuple[str, Sequence[tuple[str, str]]], *, source: Source, folder: Path,
                 filters: FilterOptions) -> list[Filtered]:
    """Filter the films of one shard and write it to `folder`, unless it is there already.

    Args:
        shard: Its file name, and its films as `filter_film` takes them.

    Raises:
        StorageError: The disk refuses.
    """
    name, films = shard
    path = folder / name
    record = path.with_suffix(".json")
    if path.exists():
        return [Filtered(**found) for found in read_json(record)]
    became: list[Filtered] = []

    def contents() -> Iterator[tuple[str, bytes]]:
        for file, sha256 in films:
            found, content = _filtered(file, source, filters)
            became.append(found)
            if content:
                yield waiting_name(sha256), content

    with replacing(path) as temporary:
        write_shard(temporary, contents())
        write_json(record, [found._asdict() for found in became])
    return became


def _filtered(file: str, source: Source, filters: FilterOptions) -> tuple[Filtered, bytes]:
    """What became of a film, and its new file; empty where there is trouble with it."""
    try:
        data = source.read(file)
    except OSError as failure:  # it was there a moment ago
        return Filtered(_cannot_be_opened(failure)), b""
    try:
        framed = framed_and_filtered(refuse_blank(read_film(data, depth=filters.depth)), filters)
    except FilmError as failure:
        return Filtered(failure.received), b""
    found = Filtered(note="" if framed.as_asked else NO_LUNGS, framing=framed.framing)
    return found, prepared_jpeg(framed.image)


def _cannot_be_opened(failure: OSError) -> str:
    return f"can't be opened ({failure.strerror})"
