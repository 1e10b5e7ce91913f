"""A DICOM node: films come in over the network, are answered, and the results go back to an archive.

An object is taken only when it is on the disk, and whatever is to be done with it is read from there: a node
that was killed loses nothing. Instances name the files, and results have the same instances whenever they are
made, so that nothing is there twice.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

from pneumo_tf.data.dicom import identify, is_uid, read_header
from pneumo_tf.data.images import read_film
from pneumo_tf.errors import FilmError, OptionError, PneumoError, StorageError
from pneumo_tf.language import say
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.dicom_out import MAKER
from pneumo_tf.reading.outbox import CAPTURE, Outbox, checked_title, pynetdicom
from pneumo_tf.storage import locked, make_folder, read_json, replacing, write_json

if TYPE_CHECKING:
    from pydicom import Dataset

TITLE, PORT, FILMS = "PNEUMO_TF", 11112, "films"
_MEBIBYTE = 2**20
# CR; DX for presentation; secondary captures, of which the grey ones may be films.
_KINDS = ("1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", CAPTURE,
          "1.2.840.10008.5.1.4.1.1.7.2", "1.2.840.10008.5.1.4.1.1.7.3")
_VERIFICATION = "1.2.840.10008.1.1"
# Little endian, explicit and implicit; JPEG baseline, extended, lossless; JPEG-LS; JPEG 2000; RLE.
_SYNTAXES = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51",
             "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
             "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91",
             "1.2.840.10008.1.2.5")
_LARGEST_PDU = 256 * 1024
# PS3.4 B.2.3
_SUCCESS, _NO_ROOM, _MISMATCH, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
_DUPLICATE = 0x0111  # PS3.7 C.5.7
Results = Callable[[Path, Answer], Iterable["Dataset"]]
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a peer may ask of the node.

    Attributes:
        associations: At once.
        object_bytes: Of one object; what is larger ends its association.
        free_bytes: Of the disk that stay free.
        waiting: Films that may wait for their answer.
        idle_seconds: That a peer may say nothing.
        association_seconds: That an association may last.
    """

    associations: int = 8
    object_bytes: int = 128 * _MEBIBYTE
    free_bytes: int = 1024 * _MEBIBYTE
    waiting: int = 10_000
    idle_seconds: float = 30.0
    association_seconds: float = 1800.0


@dataclass(kw_only=True)
class Receiver:
    """What peers talk to: C-ECHO, and C-STORE into a folder.

    Attributes:
        folder: Gets each object as `<instance UID>.dcm`.
        title: AE title that peers must call.
        peers: AE titles that may call; any where there are none.
        limits: What they may ask.
        arrived: Told the file of each new film.
        waiting: Gives how many films wait for their answer.
        tell: Is given a line about whatever goes wrong, without anything of a header but the instance UID.
    """

    folder: Path
    title: str = TITLE
    peers: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    arrived: Callable[[Path], None] = lambda _: None
    waiting: Callable[[], int] = lambda: 0
    tell: Tell = say
    _lines: dict[Any, _Line] = field(default_factory=dict, repr=False)
    _keeping: Lock = field(default_factory=Lock, repr=False)

    @contextmanager
    def listening(self, port: int = PORT, host: str = "127.0.0.1") -> Iterator[int]:
        """Listen, and yield the port: a free one for 0.

        Raises:
            OptionError: A title that isn't one, a port that is taken, anybody let in from other machines, or
                no library.
            StorageError: The folder can't be written to.
        """
        _refuse_open_door(host, self.peers)
        application = self._application()
        make_folder(self.folder)
        try:
            server = application.start_server((host, port), block=False, evt_handlers=self._handlers())
        except OSError as failure:
            raise OptionError("A node needs an address of this machine and a free port.",
                              received=f"{host}:{port} ({failure.strerror})",
                              remedy="Name another port, or 127.0.0.1.") from failure
        stopped = Event()
        guard = Thread(target=self._watch, args=(application, stopped), daemon=True)
        guard.start()
        default, threading.excepthook = threading.excepthook, lambda told: self._broke(told) or default(told)
        try:
            yield server.server_address[1]
        finally:
            threading.excepthook = default
            stopped.set()
            application.shutdown()
            guard.join()

    def _application(self) -> Any:
        application = pynetdicom().AE(checked_title(self.title))
        application.add_supported_context(_VERIFICATION)
        for kind in _KINDS:
            application.add_supported_context(kind, list(_SYNTAXES))
        application.require_called_aet = True
        application.require_calling_aet = [checked_title(title) for title in self.peers]
        application.maximum_associations = self.limits.associations
        application.maximum_pdu_size = _LARGEST_PDU
        application.network_timeout = application.acse_timeout = application.dimse_timeout = \
            self.limits.idle_seconds
        return application

    def _handlers(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        evt = pynetdicom().evt
        return [(evt.EVT_CONN_OPEN, self._opened), (evt.EVT_CONN_CLOSE, self._closed),
                (evt.EVT_PDU_RECV, self._received), (evt.EVT_REJECTED, self._rejected),
                (evt.EVT_C_ECHO, lambda _: _SUCCESS), (evt.EVT_C_STORE, self._store)]

    def _opened(self, event: Any) -> None:
        socket = event.assoc.dul.socket
        self._lines[event.assoc] = _Line(socket, time.monotonic(), event.address[0])
        socket.socket.settimeout(self.limits.idle_seconds)  # in the middle of a message too
        # The library would read as much as a peer announces, up to 4 GiB, before it looks at any of it.
        read = socket.recv
        socket.recv = lambda size: read(size) if size <= 2 * _LARGEST_PDU else \
            self._cut(event.assoc, f"a message of {size:,} bytes")

    def _closed(self, event: Any) -> None:
        self._lines.pop(event.assoc, None)
        # Who connects and goes without a word, as a scan of ports does, would hold a place until it's idle.
        if event.assoc.requestor.primitive is None and event.assoc.dul.to_user_queue.empty():
            event.assoc.dul.to_user_queue.put(None)

    def _rejected(self, event: Any) -> None:
        primitive = event.assoc.requestor.primitive
        self.tell(f"refused an association of {_printable(primitive.calling_ae_title)} that called "
                  f"{_printable(primitive.called_ae_title)}")

    def _received(self, event: Any) -> None:
        line = self._lines.get(event.assoc)
        if line is None or event.pdu.pdu_type != 0x04:  # P-DATA
            return
        line.bytes += event.pdu.pdu_length
        if line.bytes > self.limits.object_bytes:
            self._cut(event.assoc, f"an object of more than {self.limits.object_bytes // _MEBIBYTE} MiB")

    def _broke(self, told: threading.ExceptHookArgs) -> bool:
        """Whether it was a message of a peer's that ended a thread of the library; it is hung up on then."""
        association: Any = getattr(told.thread, "assoc", told.thread)
        if association not in self._lines:
            return False
        self._cut(association, "a message that isn't DICOM's")
        return True

    def _cut(self, association: Any, why: str) -> bytearray:
        """Hang up; nothing more is read."""
        if line := self._lines.pop(association, None):
            self.tell(f"hung up on {line.host}: {why}")
            line.hang_up()
            # Its threads wait for one another, or for what the peer owes, and would hold its place meanwhile.
            Thread(target=association.kill, daemon=True).start()
        return bytearray()

    def _watch(self, application: Any, stopped: Event) -> None:
        while not stopped.wait(min(1.0, self.limits.association_seconds / 4)):
            for association, line in list(self._lines.items()):
                if time.monotonic() - line.begun > self.limits.association_seconds:
                    self._cut(association, f"more than {self.limits.association_seconds:g} seconds")

    def _store(self, event: Any) -> int:
        """Put an object on the disk; the status of PS3.4 B.2.3."""
        if line := self._lines.get(event.assoc):
            line.bytes = 0
        uid = str(event.request.AffectedSOPInstanceUID)
        if shutil.disk_usage(self.folder).free < self.limits.free_bytes:
            return self._declined(_NO_ROOM, "the disk is nearly full", uid)
        if self.waiting() >= self.limits.waiting:
            return self._declined(_NO_ROOM, f"{self.limits.waiting:,} films wait", uid)
        data = event.encoded_dataset()
        try:
            header = read_header(BytesIO(data))
        except FilmError as failure:
            return self._declined(_NOT_UNDERSTOOD, failure.received, uid)
        if not is_uid(uid) or header.get("SOPInstanceUID") != uid:
            return self._declined(_MISMATCH, "another instance than was announced", uid)
        if header.get("Manufacturer") == MAKER:  # a result that an archive sends on to us
            return _SUCCESS
        return self._keep(data, self.folder / f"{uid}.dcm")

    def _keep(self, data: bytes, path: Path) -> int:
        with self._keeping:  # of two that come at once under one UID, the second is held against the first
            if path.exists():
                if _is_same_film(data, path.read_bytes()):
                    return _SUCCESS
                return self._declined(_DUPLICATE, "another film is held under this instance UID", path.stem)
            try:
                with replacing(path) as temporary, temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                _sync_names(path.parent)
            except StorageError as failure:
                return self._declined(_NO_ROOM, failure.received, path.stem)
        self.arrived(path)
        return _SUCCESS

    def _declined(self, status: int, why: str, uid: str) -> int:
        self.tell(f"declined with status {status:04X} ({why}): {_printable(uid)}")
        return status


@dataclass
class _Line:
    """A connection: its socket, when it began, whose it is, and how much of an object it has brought."""

    socket: Any
    begun: float
    host: str
    bytes: int = 0

    def hang_up(self) -> None:
        with suppress(OSError, AttributeError):  # it has just gone
            self.socket.socket.shutdown(2)
            self.socket.socket.close()  # a peer in the middle of a long message is told that nobody reads it


def _is_same_film(data: bytes, held: bytes) -> bool:
    """Whether two objects show one film of one patient, though an archive may have written it anew."""
    if data == held or identify(data) != identify(held):
        return data == held
    try:
        return read_film(data).tobytes() == read_film(held).tobytes()
    except FilmError:
        return False


def _sync_names(folder: Path) -> None:
    """Make the names in a folder outlive a power failure, where the system can."""
    with suppress(PermissionError):  # Windows opens no folder
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _refuse_open_door(host: str, peers: Sequence[str]) -> None:
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback and not peers:
        raise OptionError("A node that other machines reach must know whom it lets in.", received=host,
                          remedy="Name the AE titles that may call, or listen at 127.0.0.1.")


def _printable(text: str) -> str:
    return re.sub(r"[^ -~]", "?", str(text)).strip()[:64] or "nobody"


@dataclass(kw_only=True)
class Node:
    """A receiver, the answers to what it receives, and the way back of the results.

    Attributes:
        folder: Holds `films/`, `answers/` (one JSON each) and what the outbox keeps.
        version: Name of a folder for the answers; films with answers of another version are answered anew.
        answer: A film's file to its answer.
        results: A film's file and its answer to the objects that are sent back.
        outbox: Where these wait for the archive; None sends nothing back.
        title, peers, limits, tell: As of `Receiver`.
        retry: Seconds after which an archive that was away is tried again.
    """

    folder: Path
    answer: Callable[[Path], Answer]
    version: str = ""
    results: Results = lambda *_: ()
    outbox: Outbox | None = None
    title: str = TITLE
    peers: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)
    tell: Tell = say
    retry: float = 30.0
    _films: SimpleQueue[Path] = field(default_factory=SimpleQueue, repr=False)
    _stopped: Event = field(default_factory=Event, repr=False)
    _to_send: Event = field(default_factory=Event, repr=False)
    _work: list[Future[None]] = field(default_factory=list, repr=False)

    @property
    def films(self) -> Path:
        return self.folder / FILMS

    def answer_file(self, film: Path) -> Path:
        """Where the answer of a film lies once it is given."""
        return self.folder / "answers" / self.version / f"{film.stem}.json"

    def answered(self, film: Path) -> Answer | None:
        """The answer of a film that was received; None where it isn't given yet."""
        try:
            kept = read_json(self.answer_file(film))
        except FileNotFoundError:
            return None
        return Answer(**{**kept, "probabilities": tuple(kept["probabilities"])})

    def expects(self, film: Path) -> bool:
        """Whether a file among the films is one that came over the network, or may be."""
        return film.suffix == ".dcm" and is_uid(film.stem)

    @contextmanager
    def running(self, port: int = PORT, host: str = "127.0.0.1") -> Iterator[int]:
        """Go on with what was left undone, listen, and yield the port.

        Raises:
            OptionError: As `Receiver.listening`.
            StorageError: As `Receiver.listening`; or another node is at work in the folder.
        """
        _refuse_open_door(host, self.peers)
        for folder in (self.films, self.folder / "answers" / self.version):
            make_folder(folder)
        with locked(self.folder / ".node.lock") as is_ours:
            if not is_ours:
                raise StorageError("One node at a time may receive into a folder.", received=str(self.folder),
                                   remedy="Stop the other one, or name another folder.")
            with self._running(port, host) as listened:
                yield listened

    @contextmanager
    def _running(self, port: int, host: str) -> Iterator[int]:
        for pattern in ("*/.*.*", "answers/*/.*.*"):
            for begun in self.folder.glob(pattern):  # when the last node was killed
                begun.unlink()
        for film in sorted(self.films.glob("[!.]*.dcm")):
            if not self.answer_file(film).is_file():
                self._films.put(film)
        receiver = Receiver(folder=self.films, title=self.title, peers=self.peers, limits=self.limits,
                            arrived=self._films.put, waiting=self._films.qsize, tell=self.tell)
        self._stopped.clear()
        self._to_send.set()
        with ThreadPoolExecutor(2) as pool, receiver.listening(port, host) as listened:
            self._work = [pool.submit(self._answer_all), pool.submit(self._send_all)]
            try:
                yield listened
            finally:
                self._stopped.set()
                self._to_send.set()
        self.check()

    def check(self) -> None:
        """Raise what ended the answering or the sending, a defect of ours; nothing while they go on."""
        for work in self._work:
            if work.done():
                work.result()

    def _answer_all(self) -> None:
        while not self._stopped.is_set():
            with suppress(Empty):
                film = self._films.get(timeout=0.2)
                try:
                    self._answer_one(film)
                except PneumoError as failure:  # it waits on disk for the next start
                    self.tell(f"no answer yet ({failure.received}): {film.stem}")

    def _answer_one(self, film: Path) -> None:
        if self.answer_file(film).is_file():
            return
        answer = self.answer(film)
        if self.outbox is not None:
            self.outbox.put(self.results(film, answer))
        write_json(self.answer_file(film), asdict(answer))  # last: a kill before it gives the same results
        self._to_send.set()

    def _send_all(self) -> None:
        away = ""
        while self.outbox is not None:
            self._to_send.wait(self.retry)
            if self._stopped.is_set():
                return
            self._to_send.clear()
            try:
                self.outbox.flush()
                away = ""
            except PneumoError as failure:
                if str(failure) != away:  # said once
                    self.tell(str(failure))
                away = str(failure)
