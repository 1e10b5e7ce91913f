"""Results on their way to an archive: on disk until it has taken them, over DICOM's network or the web."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pneumo_tf.data.dicom import ABSENT, silent_pydicom
from pneumo_tf.errors import OptionError, PneumoError
from pneumo_tf.language import say
from pneumo_tf.storage import make_folder, replacing

if TYPE_CHECKING:
    from pydicom import Dataset

REFUSED = "refused"  # the folder of results that the archive doesn't want
REPORT, CAPTURE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"  # Comprehensive 3D SR; SC
_TOGETHER = 50  # results sent over one association or in one request
_SECONDS = 30.0


class PeerError(PneumoError):
    """An archive that is away, or that ends a connection."""


class Peer(NamedTuple):
    """Another application: its AE title, host and port."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """A peer as a person types it, "ORTHANC@127.0.0.1:4242".

        Raises:
            OptionError: Another form.
        """
        told = re.fullmatch(r"([^@]+)@(.+):(\d{1,5})", text.strip())
        if not told or not 0 < int(told[3]) < 65536:
            raise OptionError("A DICOM peer must be named as TITLE@HOST:PORT.", received=text,
                              remedy="For instance ORTHANC@127.0.0.1:4242.")
        return cls(checked_title(told[1]), told[2].strip("[]"), int(told[3]))


def checked_title(title: str) -> str:
    """An AE title (PS3.5 6.2) again.

    Raises:
        OptionError: Longer than 16 signs, blank, or with others than those of ASCII.
    """
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", title) or not title.strip():
        raise OptionError("An AE title must have 1 to 16 signs of ASCII.", received=repr(title),
                          remedy="Take letters, digits and underscores.")
    return title


class Outcome(NamedTuple):
    """What became of a result: taken, to be sent again later, or refused for good with the archive's word."""

    file: Path
    taken: bool
    later: bool = False
    why: str = ""


Send = Callable[[Sequence[Path]], Iterator[Outcome]]
"""Sends files, and tells of each as soon as it is known; a PeerError where the archive is away."""


@dataclass
class Outbox:
    """A folder of results, each of which stays until the archive has taken it.

    Attributes:
        folder: Of the results, called by their instances: one that is made again takes its own place.
        send: As `by_dimse` and `by_stow` give it.
        tell: Is given a line about each that the archive doesn't take.
    """

    folder: Path
    send: Send
    tell: Callable[[str], None] = say
    _busy: Lock = field(default_factory=Lock, repr=False)

    def put(self, results: Iterable[Dataset]) -> None:
        """Keep results to be sent.

        Raises:
            StorageError: The disk refuses.
        """
        for result in results:
            with replacing(self.folder / f"{result.SOPInstanceUID}.dcm") as temporary:
                result.save_as(temporary, enforce_file_format=True)

    def waiting(self) -> list[Path]:
        """The results that weren't taken yet, by name."""
        return sorted(self.folder.glob("[!.]*.dcm"))

    def flush(self) -> int:
        """Send all that waits; how many were taken. What is refused for good is laid aside.

        Raises:
            PeerError: The archive is away; what it hasn't taken waits on.
        """
        taken = 0
        with self._busy:
            waiting = self.waiting()
            for start in range(0, len(waiting), _TOGETHER):
                for outcome in self.send(waiting[start : start + _TOGETHER]):
                    taken += outcome.taken
                    self._settle(outcome)
        return taken

    def _settle(self, outcome: Outcome) -> None:
        if outcome.taken:
            outcome.file.unlink(missing_ok=True)
            return
        self.tell(f"not taken by the archive ({outcome.why}): {outcome.file.stem}")
        if not outcome.later:
            outcome.file.replace(make_folder(self.folder / REFUSED) / outcome.file.name)


def by_dimse(peer: Peer, *, title: str) -> Send:
    """Sends results by C-STORE to a peer, as the application of that title.

    Raises:
        OptionError: pynetdicom isn't installed.
    """
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    application = pynetdicom().AE(checked_title(title))
    application.connection_timeout = application.acse_timeout = application.dimse_timeout = _SECONDS
    for kind in (REPORT, CAPTURE):
        application.add_requested_context(kind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])

    def send(files: Sequence[Path]) -> Iterator[Outcome]:
        association = application.associate(peer.host, peer.port, ae_title=peer.title)
        if not association.is_established:
            raise _away(peer, "it refuses us" if association.is_rejected else "no answer")
        try:
            for file in files:
                yield _stored(association, file, peer)
        finally:
            association.release()

    return send


def _stored(association: Any, file: Path, peer: Peer) -> Outcome:
    try:
        status = association.send_c_store(file).get("Status")
    except ValueError:  # none of its contexts is for such an object
        return Outcome(file, taken=False, why="it takes no such objects")
    except RuntimeError as failure:
        raise _away(peer, "it hung up") from failure
    if status is None:
        raise _away(peer, "it hung up")
    # PS3.4 B.2.3: B000 and above is stored with a warning, A700 and above a want of room.
    return Outcome(file, status == 0 or status >> 12 == 0xB, status >> 8 == 0xA7, f"status {status:04X}")


def by_stow(url: str) -> Send:
    """Sends results by DICOMweb's STOW-RS (PS3.18 10.5) to an archive that speaks no DIMSE.

    Args:
        url: Of the service, e.g. http://127.0.0.1:8042/dicom-web; a password comes from ~/.netrc.

    Raises:
        OptionError: No URL of the web, or dicomweb-client isn't installed.
    """
    if not re.match(r"https?://[^/]", url):
        raise OptionError("A DICOMweb service must be named by its URL.", received=url,
                          remedy="For instance http://127.0.0.1:8042/dicom-web.")
    try:
        from dicomweb_client.web import DICOMwebClient
    except ImportError as failure:
        raise OptionError("Results go over the web by dicomweb-client.", received=ABSENT,
                          remedy="pip install 'pneumo_tf[dicom]'") from failure
    logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)
    client = DICOMwebClient(url)
    client.set_http_retry_params(retry=False)  # the outbox sends again
    return lambda files: _posted(client, files, url)


def _posted(client: Any, files: Sequence[Path], url: str) -> Iterator[Outcome]:
    from pydicom import dcmread
    from requests import HTTPError, RequestException

    try:
        told = client.store_instances([dcmread(file) for file in files])
    except HTTPError as failure:
        code = failure.response.status_code
        if code >= 500 or code in (401, 403, 404, 429):
            raise _away(url, f"HTTP {code}") from failure
        if len(files) == 1:
            yield Outcome(files[0], taken=False, why=f"HTTP {code}")
        else:  # one of them, and the others shall not suffer
            for file in files:
                yield from _posted(client, [file], url)
        return
    except RequestException as failure:
        raise _away(url, "no answer") from failure
    failed = {str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason", 0))
              for item in told.get("FailedSOPSequence") or []}
    for file in files:
        reason = failed.get(file.stem)
        yield Outcome(file, reason is None, (reason or 0) >> 8 == 0xA7, f"reason {reason or 0:04X}")


def _away(peer: Peer | str, why: str) -> PeerError:
    who = peer if isinstance(peer, str) else f"{peer.title} at {peer.host}:{peer.port}"
    return PeerError("Results need an archive that takes them.", received=f"{who} ({why})",
                     remedy="They wait in their folder and are sent again.")


def pynetdicom() -> Any:
    """The library, silenced: what matters of its messages is told in lines of our own.

    Raises:
        OptionError: It isn't installed.
    """
    try:
        silent_pydicom()
        import pynetdicom as library
    except ImportError as failure:
        raise OptionError("DICOM's network is spoken by pynetdicom.", received=ABSENT,
                          remedy="pip install 'pneumo_tf[dicom]'") from failure
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    return library
