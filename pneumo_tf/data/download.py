"""Archives of films from the network: where the public ones are, fetching in parts, checks, unpacking."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin, urlsplit

import requests

from pneumo_tf.data.listing import Listing, list_films
from pneumo_tf.data.sources import Zip
from pneumo_tf.errors import FilmError, StorageError
from pneumo_tf.places import is_portable
from pneumo_tf.progress import progress_bar
from pneumo_tf.storage import guarded, locked, make_folder, read_json, replacing, write_json

_MEBIBYTE = 2**20
_BLOCK = 2**16  # bytes; of a block that ends early nothing is kept
_TIMEOUT = 20  # seconds without a byte that count as a lost connection
_TRIES = 4  # in a row that bring nothing
_BUSY = frozenset({408, 429, 500, 502, 503, 504})  # what a server says that may be asked again


@dataclass(frozen=True, slots=True)
class Archive:
    """A public archive of films.

    Attributes:
        name: What it is called here, and its folder.
        file: Its name at the publisher's.
        url: Where its bytes are.
        page: Where a person finds it.
        listing: Where the publisher tells size and SHA-256 of its files: JSON as Mendeley Data gives it.
        about: What is in it, and its licence.
    """

    name: str
    file: str
    url: str
    page: str = ""
    listing: str = ""
    about: str = ""


_MENDELEY = "https://data.mendeley.com"
# No hash stands here: none was seen at its source. Mendeley Data tells its own when it is asked.
ARCHIVES = {"chest_xray": Archive(
    "chest_xray", "ChestXRay2017.zip",
    f"{_MENDELEY}/public-files/datasets/rscbjbr9sj/files/f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
    f"{_MENDELEY}/datasets/rscbjbr9sj/2",
    f"{_MENDELEY}/public-api/datasets/rscbjbr9sj/files?folder_id=root&version=2",
    "5,856 chest films of children, NORMAL and PNEUMONIA, 1.2 GB; Kermany, Zhang, Goldbaum 2018, CC BY 4.0")}


def _refuse_plain(response: requests.Response, **_: object) -> None:
    """Follow no redirect from https to an address that anybody on the way could answer for."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and not target.startswith("https:"):
        raise requests.exceptions.InvalidURL(f"a redirect to {target}", response=response)


STAYING_SECURE = {"response": _refuse_plain}  # what requests calls hooks


def archive_at(url: str) -> Archive:
    """The archive at an address that nothing else is known of."""
    file = PurePosixPath(urlsplit(url).path).name or "films"
    return Archive(file.removesuffix(".zip"), file, url, page=url)


def published_hash(archive: Archive) -> str:
    """SHA-256 that the publisher tells, hexadecimal; empty where it can't be asked or doesn't tell."""
    if not archive.listing:
        return ""
    try:
        files = requests.get(archive.listing, timeout=_TIMEOUT, hooks=STAYING_SECURE).json()
        return next(str(file["content_details"]["sha256_hash"]).lower() for file in files
                    if file["filename"] == archive.file)
    except (requests.RequestException, ValueError, KeyError, TypeError, StopIteration):
        return ""


def fetch(archive: Archive, path: Path, *, sha256: str = "", pause: float = 2.0) -> str:
    """Download an archive to `path`, or check the one that lies there; SHA-256 of its bytes, hexadecimal.

    What arrived before an interruption lies in `<path>.part`, and the same call goes on from there.

    Args:
        archive: What to fetch.
        path: Where it shall lie.
        sha256: Hash that it must have; empty where none is known.
        pause: Seconds until a lost connection is tried again, doubled at each try that brings nothing.

    Raises:
        FilmError: No network, another hash, no acceptable .zip, or another process is downloading it.
        StorageError: The disk refuses, or hasn't the room.
    """
    make_folder(path.parent)
    part = path.with_name(f"{path.name}.part")
    with guarded(part), locked(part.with_suffix(".lock")) as ours:
        if not ours:
            raise FilmError("One process at a time downloads an archive.", received=f"{part} in use",
                            remedy="Wait for the other one.")
        if path.exists():
            digest = _checked(path, sha256)
        else:
            _download(archive, part, pause)
            try:
                digest = _checked(part, sha256)
            except FilmError:
                _forget(part)  # going on from wrong bytes would never end well
                raise
            part.replace(path)
        _forget(part)
    return digest


def _checked(path: Path, wanted: str) -> str:
    """SHA-256 of an archive that has the wanted one, where one is, and is an acceptable .zip."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if wanted and digest != wanted.lower():
        raise FilmError("A downloaded archive must have the known hash.",
                        received=f"{path} with SHA-256 {digest} where {wanted.lower()} is known",
                        remedy=f"Delete {path.name} if it is still there and fetch it again; if it differs "
                               "once more, don't trust it.")
    with Zip(path):
        return digest


def _download(archive: Archive, part: Path, pause: float) -> None:
    """Ask for what is missing until nothing is."""
    idle = 0
    while idle < _TRIES:
        before = _size(part)
        try:
            if _receive(archive, part):
                return
            failure = "the connection ended early"
        except requests.RequestException as lost:
            failure = _reason(archive, lost)
        idle = 0 if _size(part) > before else idle + 1
        if idle < _TRIES:
            time.sleep(pause * 2 ** max(0, idle - 1))
    raise _unreachable(archive, part, failure)


def _receive(archive: Archive, part: Path) -> bool:
    """Append to `part` what one answer of the server brings; whether everything is there."""
    with requests.get(archive.url, headers=_asked_from(part), stream=True, timeout=_TIMEOUT,
                      hooks=STAYING_SECURE) as answer:
        if answer.status_code == 416:  # nothing lies behind what we have, or the archive is another one
            whole = answer.headers.get("Content-Range", "").rpartition("/")[2] == str(_size(part))
            if not whole:
                _forget(part)
            return whole
        answer.raise_for_status()
        goes_on = answer.status_code == 206 and \
            answer.headers.get("Content-Range", "").startswith(f"bytes {_size(part)}-")
        have = _size(part) if goes_on else 0  # a server without ranges begins anew
        total = have + int(answer.headers.get("Content-Length", 0))
        _refuse_without_room(part, total - have)
        _remember(part, answer)
        with part.open("ab" if goes_on else "wb") as file, \
                progress_bar("Downloading (MiB)", total // _MEBIBYTE) as advance:
            advance(have // _MEBIBYTE)
            for block in answer.iter_content(_BLOCK):
                file.write(block)
                advance((have + len(block)) // _MEBIBYTE - have // _MEBIBYTE)
                have += len(block)
    return have >= total


def _asked_from(part: Path) -> dict[str, str]:
    """Headers for the rest of the file, or for all of it where it has become another one."""
    headers = {"Accept-Encoding": "identity"}
    with suppress(OSError, ValueError):
        validator = read_json(_memory(part))
        if validator and _size(part):
            return headers | {"Range": f"bytes={_size(part)}-", "If-Range": validator}
    return headers


def _remember(part: Path, answer: requests.Response) -> None:
    """Keep what tells whether the archive is still the same: RFC 9110, 13.1.5 takes no weak ETag."""
    tag = answer.headers.get("ETag", "")
    strong = "" if tag.startswith("W/") else tag
    write_json(_memory(part), strong or answer.headers.get("Last-Modified", ""))


def _memory(part: Path) -> Path:
    return part.with_suffix(".part.json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _memory(part).unlink(missing_ok=True)


def _refuse_without_room(part: Path, missing: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise StorageError("An archive needs room on the disk.", received=f"{part.parent} with "
                           f"{free // _MEBIBYTE:,} MiB free where {missing // _MEBIBYTE:,} are to come",
                           remedy="Free some space, or name a folder on another disk with --output.")


def _reason(archive: Archive, lost: requests.RequestException) -> str:
    """Why nothing came, in words; an answer that won't change ends it at once."""
    if lost.response is None:
        return type(lost).__name__
    told = f"HTTP {lost.response.status_code} {lost.response.reason}"
    if lost.response.status_code not in _BUSY:
        raise FilmError("An archive must be where its address says.", received=f"{archive.url}: {told}",
                        remedy=f"Look for it at {archive.page}, and give its address.") from lost
    return told


def _unreachable(archive: Archive, part: Path, failure: str) -> FilmError:
    came = f" after {_size(part) // _MEBIBYTE:,} MiB, which are kept" if _size(part) else ""
    return FilmError("A download needs the network.", received=f"{archive.url}: {failure}{came}",
                     remedy=f"Run the same command again with a network, or fetch {archive.page} on another "
                            f"machine, save it as {part.with_suffix('')} and run the same command.")


def unpack(archive: Path, folder: Path) -> Listing:
    """Write the films of a .zip below `folder`, which appears whole or not at all; what the archive holds.

    Nothing is written but files that are films by their name or first bytes: no links, no programs. A folder
    that holds them already is left as it is.

    Raises:
        FilmError: No acceptable .zip, a damaged film's bytes, no films, or something else lies in `folder`.
        StorageError: The disk refuses.
    """
    with Zip(archive) as source:
        entries = {entry.file: entry.bytes for entry in source.entries()}
        listing = list_films(source.entries())
        files = [film.file for film in listing.films]
        _refuse_names(archive, files)
        if folder.exists() and any(folder.iterdir()):
            if all(_size(folder / file) == entries[file] for file in files):
                return listing
            raise FilmError("An archive is unpacked into a new or empty folder.",
                            received=f"{folder}, which holds something else",
                            remedy="Name another folder with --output, or move that one.")
        with _new_folder(folder) as new, progress_bar("Unpacking", len(files)) as advance:
            for file in files:
                path = new / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(source.read(file))
                advance(1)
    return listing


def _refuse_names(archive: Path, files: Iterable[str]) -> None:
    odd = next((file for file in files if not all(map(is_portable, file.split("/")))), None)
    if odd is not None:
        raise FilmError("The names in an archive must mean the same on every system.",
                        received=f"{archive} with {odd!r}",
                        remedy="Leave it packed (--no-unpack): prepare_pict.py reads it as it is.")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    with replacing(folder) as new:
        new.mkdir(parents=True)
        yield new
