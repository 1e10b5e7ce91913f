"""The node with real clients, an archive that comes and goes, and peers that mean no good."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
import requests
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import ComputedRadiographyImageStorage, MRImageStorage, Verification

from pneumo_tf.cohort import Cohort
from pneumo_tf.errors import OptionError, StorageError
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.dicom_out import results_of
from pneumo_tf.reading.node import Limits, Node
from pneumo_tf.reading.outbox import CAPTURE, REPORT, Outbox, Peer, PeerError, by_dimse, by_stow
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import RunFolder

FACTS = {"name": "small", "classes": ["NORMAL", "PNEUMONIA"], "positive": "PNEUMONIA",
         "versions": {"pneumo_tf": "0.1.0"}}
RUN = RunFolder(Path(), FACTS, {}, pd.DataFrame(), Cohort(()), pd.DataFrame())
RESULTS = partial(results_of, run=RUN, words=language("en"))
PIXELS = np.arange(1024, dtype=np.uint16).reshape(32, 32)


def called(film: Path) -> Answer:
    return Answer(film.stem, call="PNEUMONIA", probability=0.8, score=0.7, threshold=0.5)


def until(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something is so; fail where it takes too long."""
    last = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < last, "it took too long"
        time.sleep(0.05)


class Archive:
    """A storage provider of pynetdicom's that counts what it takes, and may answer with another status."""

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.status = 0x0000

    def store(self, event: Any) -> int:
        if self.status == 0:
            self.taken[event.dataset.SOPInstanceUID] += 1
            self.kinds[event.dataset.SOPClassUID] += 1
        return self.status

    @contextmanager
    def open(self, port: int = 0) -> Iterator[Peer]:
        application = AE("ARCHIVE")
        for kind in (REPORT, CAPTURE):
            application.add_supported_context(kind)
        server = application.start_server(("127.0.0.1", port), block=False,
                                          evt_handlers=[(evt.EVT_C_STORE, self.store)])
        try:
            yield Peer("ARCHIVE", "127.0.0.1", server.server_address[1])
        finally:
            application.shutdown()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def node(tmp_path: Path, said: list[str]) -> Node:
    return Node(folder=tmp_path / "node", answer=called, tell=said.append)


@pytest.fixture
def films(tmp_path: Path, dicom_film: Callable[..., bytes]) -> Callable[[int], list[Path]]:
    """Makes so many CR films of made-up patients, in folders of 50."""
    def make(number: int) -> list[Path]:
        paths = []
        for each in range(number):
            path = tmp_path / f"films/{each // 50}/{each}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(dicom_film(PIXELS, BitsStored=10, PatientID=f"HC{each}",
                                        PatientName="Zubizarreta^Eufrosina"))
            paths.append(path)
        return paths

    return make


def answered(node: Node) -> set[str]:
    return {path.stem for path in (node.folder / "answers").glob("[!.]*.json")}


def instances(films: list[Path]) -> set[str]:
    return {str(pydicom.dcmread(film, stop_before_pixels=True).SOPInstanceUID) for film in films}


@contextmanager
def association(port: int, *kinds: str, title: str = "PNEUMO_TF", own: str = "TEST",
                syntaxes: Sequence[str] = ()) -> Iterator[Any]:
    application = AE(own)
    for kind in kinds or (Verification, ComputedRadiographyImageStorage):
        application.add_requested_context(kind, list(syntaxes) or None)
    for patience in ("acse_timeout", "dimse_timeout", "network_timeout"):
        setattr(application, patience, 10)  # seconds that a client waits once it was hung up on
    opened = application.associate("127.0.0.1", port, ae_title=title)
    yield opened
    if opened.is_established:
        opened.release()


class TestRealClients:
    def test_echoscu_is_answered_and_told_where_it_calls_wrongly(
            self, node: Node, said: list[str], program: Callable[..., str]) -> None:
        with replace(node, peers=("TRUSTED",)).running(0) as port:
            assert program("echoscu", "-aet", "TRUSTED", "-aec", "PNEUMO_TF", "127.0.0.1", port) == ""
            assert "Called AE Title Not Recognized" in program(
                "echoscu", "-aet", "TRUSTED", "-aec", "OTHER", "127.0.0.1", port)
            assert "Calling AE Title Not Recognized" in program(
                "echoscu", "-aet", "STRANGER", "-aec", "PNEUMO_TF", "127.0.0.1", port)
        assert said == ["refused an association of TRUSTED that called OTHER",
                        "refused an association of STRANGER that called PNEUMO_TF"]

    def test_what_storescu_sends_is_answered_and_sent_on(self, node: Node, films: Callable[[int], list[Path]],
                                                         program: Callable[..., str]) -> None:
        archive, sent = Archive(), films(3)
        with archive.open() as peer:
            node = replace(node, results=RESULTS, outbox=Outbox(node.folder / "results", by_dimse(
                peer, title="PNEUMO_TF")))
            with node.running(0) as port:
                assert program("storescu", "-aec", "PNEUMO_TF", "127.0.0.1", port, *sent) == ""
                until(lambda: sum(archive.taken.values()) == 6)
        assert answered(node) == instances(sent)
        assert archive.kinds == {REPORT: 3, CAPTURE: 3}
        assert not node.outbox.waiting()  # type: ignore[union-attr]

    @pytest.mark.parametrize(("code", "send"), [("+e1", "-xs"), ("+eb", "-xy"), ("+ee", "-xx")],
                             ids=["lossless", "baseline", "extended"])
    def test_compressed_films_are_kept_as_they_came(self, code: str, send: str, node: Node, tmp_path: Path,
                                                    dicom_film: Callable[..., bytes],
                                                    program: Callable[..., str]) -> None:
        (tmp_path / "plain.dcm").write_bytes(dicom_film((PIXELS // 4).astype(np.uint8)))
        jpeg = tmp_path / "jpeg.dcm"
        assert program("dcmcjpeg", code, tmp_path / "plain.dcm", jpeg) == ""
        with node.running(0) as port:
            assert program("storescu", send, "-aec", "PNEUMO_TF", "127.0.0.1", port, jpeg) == ""
        kept, = (pydicom.dcmread(path) for path in node.films.glob("*.dcm"))
        assert kept.file_meta.TransferSyntaxUID.is_compressed
        assert kept.PixelData == pydicom.dcmread(jpeg).PixelData


_PROCESS = """
import json, sys, time
from pathlib import Path
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.node import Node
from pneumo_tf.reading.outbox import Outbox, Peer, by_dimse
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

def results(film, answer):
    one = pydicom.dcmread(film)
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[film.stem])
    return [one]

folder, archive = Path(sys.argv[1]), Peer.parse(sys.argv[2])
node = Node(folder=folder, answer=lambda film: Answer(film.stem, call="NORMAL", probability=0.1), retry=1,
            results=results, outbox=Outbox(folder / "results", by_dimse(archive, title="PNEUMO_TF")))
with node.running(int(sys.argv[3])) as port:
    print(port, flush=True)
    time.sleep(600)
"""


def start(folder: Path, archive: Peer, port: int = 0) -> tuple[subprocess.Popen[str], int]:
    where = f"{archive.title}@{archive.host}:{archive.port}"
    process = subprocess.Popen([sys.executable, "-c", _PROCESS, str(folder), where, str(port)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_of_200_films_over_four_associations_none_is_lost_or_doubled_though_the_node_is_killed(
        films: Callable[[int], list[Path]], tmp_path: Path, program: Callable[..., str]) -> None:
    sent, archive, folder = films(200), Archive(), tmp_path / "node"
    program("storescu", "--version")

    def senders(port: int) -> list[subprocess.Popen[bytes]]:
        return [subprocess.Popen(["storescu", "-aec", "PNEUMO_TF", "127.0.0.1", str(port), "+sd",
                                  str(tmp_path / f"films/{quarter}")], stderr=subprocess.DEVNULL)
                for quarter in range(4)]

    with archive.open() as peer:
        process, port = start(folder, peer)
        clients = senders(port)
        until(lambda: len(list((folder / "films").glob("[!.]*.dcm"))) > 30)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert any(client.wait(60) for client in clients)  # who was cut off knows it
        assert len(list((folder / "films").glob("[!.]*.dcm"))) < 200
        process, _ = start(folder, peer, port)
        try:
            assert not any(client.wait(120) for client in senders(port))
            until(lambda: len(archive.taken) == 200, 120)
            until(lambda: len(list((folder / "answers").glob("*.json"))) == 200, 120)
            until(lambda: not list((folder / "results").glob("*.dcm")))
        finally:
            process.terminate()
            process.wait()
    kept = instances(sent)
    assert {path.stem for path in (folder / "films").glob("[!.]*.dcm")} == kept
    assert set(archive.taken) == {generate_uid(entropy_srcs=[uid]) for uid in kept}
    assert sum(archive.taken.values()) <= 201  # the one that was under way when it was killed
    answers = [json.loads(path.read_text()) for path in (folder / "answers").glob("*.json")]
    assert {answer["id"] for answer in answers} == kept


class TestArchive:
    def test_results_wait_while_it_is_away_and_are_sent_when_it_is_back(
            self, node: Node, said: list[str], films: Callable[[int], list[Path]]) -> None:
        archive, sent = Archive(), films(2)
        with archive.open() as peer:
            pass
        outbox = Outbox(node.folder / "results", by_dimse(peer, title="PNEUMO_TF"))
        node = replace(node, results=RESULTS, outbox=outbox, retry=0.2)
        with node.running(0) as port:
            with association(port) as opened:
                assert [opened.send_c_store(film).Status for film in sent] == [0, 0]
            until(lambda: len(outbox.waiting()) == 4)
            until(lambda: said)
            time.sleep(0.6)
            with archive.open(peer.port):
                until(lambda: not outbox.waiting())
        assert archive.kinds == {REPORT: 2, CAPTURE: 2}
        assert len(said) == 1
        assert "ARCHIVE at 127.0.0.1" in said[0]
        assert "They wait in their folder and are sent again." in said[0]

    @pytest.mark.parametrize(("status", "left"), [(0xA700, 2), (0xC123, 0), (0xB000, 0)])
    def test_what_it_refuses_for_good_is_laid_aside(self, status: int, left: int, tmp_path: Path,
                                                    films: Callable[[int], list[Path]]) -> None:
        archive, lines, film = Archive(), [], films(1)[0]
        archive.status = status
        with archive.open() as peer:
            outbox = Outbox(tmp_path / "results", by_dimse(peer, title="PNEUMO_TF"), lines.append)
            outbox.put(RESULTS(film, called(film)))
            outbox.flush()
        assert len(outbox.waiting()) == left
        assert len(list((tmp_path / "results/refused").glob("*.dcm"))) == (2 if status == 0xC123 else 0)
        assert len(lines) == (0 if status == 0xB000 else 2)

    def test_our_own_results_sent_on_to_us_are_no_films(self, node: Node,
                                                        films: Callable[[int], list[Path]]) -> None:
        film = films(1)[0]
        _, capture = RESULTS(film, called(film))
        with node.running(0) as port, association(port, CAPTURE) as opened:
            assert opened.send_c_store(capture).Status == 0
        assert list(node.films.glob("*.dcm")) == []


class TestFilms:
    def test_one_that_is_sent_again_is_answered_once(self, node: Node,
                                                     films: Callable[[int], list[Path]]) -> None:
        asked: list[Path] = []

        def noted(film: Path) -> Answer:
            asked.append(film)
            return called(film)

        node, film = replace(node, answer=noted), films(1)[0]
        for _ in range(2):
            with node.running(0) as port:
                with association(port) as opened:
                    assert [opened.send_c_store(film).Status for _ in range(3)] == [0, 0, 0]
                until(lambda: answered(node))
        assert len(asked) == 1

    def test_one_that_an_archive_wrote_anew_is_the_same(self, node: Node, said: list[str], tmp_path: Path,
                                                        films: Callable[[int], list[Path]]) -> None:
        film, anew = films(1)[0], tmp_path / "anew.dcm"
        dataset = pydicom.dcmread(film)
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.InstitutionName = "Elsewhere"
        dataset.save_as(anew)
        with node.running(0) as port:
            for each, syntax in ((film, ExplicitVRLittleEndian), (anew, RLELossless)):
                with association(port, ComputedRadiographyImageStorage, syntaxes=[syntax]) as opened:
                    assert opened.send_c_store(each).Status == 0
        assert said == []

    @pytest.mark.parametrize("changed", [{"PatientID": "HC1"}, {"StudyInstanceUID": "1.2.3"},
                                         {"PixelData": PIXELS[::-1].tobytes()}, {"PixelData": b"cut"}])
    def test_another_under_the_same_instance_is_declined_and_the_first_is_kept(
            self, node: Node, said: list[str], films: Callable[[int], list[Path]],
            changed: dict[str, Any]) -> None:
        film = films(1)[0]
        uid, = instances([film])
        other = pydicom.dcmread(film)
        for name, value in changed.items():
            setattr(other, name, value)
        with node.running(0) as port, association(port) as opened:
            assert opened.send_c_store(film).Status == 0
            first = (node.films / f"{uid}.dcm").read_bytes()
            assert opened.send_c_store(other).Status == 0x0111
            assert (node.films / f"{uid}.dcm").read_bytes() == first
        assert said == [f"declined with status 0111 (another film is held under this instance UID): {uid}"]

    def test_of_two_at_once_under_one_instance_one_is_told_that_it_is_not_held(
            self, node: Node, films: Callable[[int], list[Path]]) -> None:
        film = films(1)[0]
        statuses: list[int] = []

        def send(patient: int) -> None:
            dataset = pydicom.dcmread(film)
            dataset.PatientID = f"HC{patient}"
            with association(port) as opened:
                statuses.append(opened.send_c_store(dataset).Status)

        with node.running(0) as port:
            peers = [threading.Thread(target=send, args=(each,)) for each in range(4)]
            for peer in peers:
                peer.start()
            for peer in peers:
                peer.join()
        assert sorted(statuses) == [0, 0x0111, 0x0111, 0x0111]

    def test_those_that_were_left_are_answered_at_the_next_start(self, node: Node,
                                                                 films: Callable[[int], list[Path]]) -> None:
        node.films.mkdir(parents=True)
        for film in films(3):
            film.rename(node.films / f"{next(iter(instances([film])))}.dcm")
        (node.films / ".1234-5.dcm").write_bytes(b"half")
        with node.running(0):
            until(lambda: len(answered(node)) == 3)
        assert not list(node.films.glob(".*.dcm"))

    def test_one_of_another_instance_than_was_announced_is_declined(
            self, node: Node, said: list[str], films: Callable[[int], list[Path]]) -> None:
        film = pydicom.dcmread(films(1)[0])
        with node.running(0) as port, association(port) as opened:
            request, context = C_STORE(), opened.accepted_contexts[1]
            request.MessageID, request.Priority = 1, 2
            request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = film.SOPClassUID, "1.2.3"
            request.DataSet = BytesIO(encode(film, *film.original_encoding))
            opened._reactor_checkpoint.clear()  # as send_c_store does
            opened.dimse.send_msg(request, context.context_id)
            assert opened.dimse.get_msg(block=True)[1].Status == 0xA900
            opened._reactor_checkpoint.set()
        assert "another instance than was announced" in said[0]
        assert list(node.films.iterdir()) == []

    def test_other_kinds_are_not_taken(self, node: Node) -> None:
        with node.running(0) as port, association(port, MRImageStorage) as opened:
            assert not opened.is_established

    def test_no_name_is_told(self, node: Node, said: list[str], films: Callable[[int], list[Path]]) -> None:
        node = replace(node, limits=Limits(free_bytes=2**60))
        with node.running(0) as port, association(port) as opened:
            assert opened.send_c_store(films(1)[0]).Status == 0xA700
        assert "the disk is nearly full" in said[0]
        assert "Zubizarreta" not in said[0]


class TestBadPeers:
    def test_a_disk_that_fills_is_answered_with_no_room_and_leaves_nothing(
            self, node: Node, said: list[str], films: Callable[[int], list[Path]],
            monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        film = films(1)[0]
        with node.running(0) as port:
            with association(port) as opened, monkeypatch.context() as patch:
                patch.setattr(os, "fsync", full)
                assert opened.send_c_store(film).Status == 0xA700
            assert list(node.films.iterdir()) == []
            with association(port) as opened:
                assert opened.send_c_store(film).Status == 0
        assert "the disk is full" in said[0]

    def test_garbage_is_hung_up_on_and_others_are_served(self, node: Node) -> None:
        pieces = (b"GET / HTTP/1.1\r\n\r\n", np.random.default_rng(0).bytes(4096),
                  bytes([1, 0, 0, 0, 0, 9]) + b"garbage!!", bytes([4, 0, 0, 0, 0, 6, 0, 0, 255, 255]))
        with replace(node, limits=Limits(idle_seconds=2)).running(0) as port:
            for garbage in pieces:
                with socket.create_connection(("127.0.0.1", port)) as raw, suppress(ConnectionResetError):
                    raw.settimeout(20)
                    raw.sendall(garbage)
                    while raw.recv(4096):
                        pass
            with association(port) as opened:
                assert opened.send_c_echo().Status == 0

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_message_that_breaks_the_library_is_hung_up_on_and_takes_no_place(
            self, node: Node, said: list[str], capfd: pytest.CaptureFixture[str]) -> None:
        """An association request whose presentation context has an even number, 2."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            asking = threading.Thread(target=lambda: association(listener.getsockname()[1]).__enter__())
            asking.start()
            peer, _ = listener.accept()
            request = bytearray(peer.recv(65536))
            peer.close()
            asking.join()
        number = request.index(b"\x20\x00", 74) + 4  # after what all requests begin with
        assert request[number] == 1
        request[number] = 2
        with replace(node, limits=Limits(associations=2, idle_seconds=1)).running(0) as port:
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", port)) as raw, suppress(ConnectionResetError):
                    raw.settimeout(20)
                    raw.sendall(request)
                    assert raw.recv(100) == b""
            time.sleep(2)
            with association(port) as opened:
                assert opened.send_c_echo().Status == 0
        assert said == ["hung up on 127.0.0.1: a message that isn't DICOM's"] * 2
        assert "Traceback" not in capfd.readouterr().err

    def test_a_message_of_4_gib_is_not_waited_for(self, node: Node, said: list[str]) -> None:
        with node.running(0) as port, socket.create_connection(("127.0.0.1", port)) as raw:
            raw.settimeout(20)
            raw.sendall(b"\x01\x00\xff\xff\xff\xff")
            until(lambda: said)
        assert said == ["hung up on 127.0.0.1: a message of 4,294,967,295 bytes"]

    def test_who_says_nothing_is_hung_up_on(self, node: Node) -> None:
        node = replace(node, limits=Limits(idle_seconds=1))
        with node.running(0) as port:
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.settimeout(20)
                assert raw.recv(100) == b""
            with association(port) as opened:
                until(lambda: not opened.is_established, 20)

    def test_who_connects_and_goes_without_a_word_takes_no_place(self, node: Node) -> None:
        with replace(node, limits=Limits(associations=2)).running(0) as port:
            for _ in range(12):
                socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(1)
            with association(port) as opened:
                assert opened.is_established

    def test_an_association_that_never_ends_is_ended(self, node: Node, said: list[str]) -> None:
        node = replace(node, limits=Limits(association_seconds=1))
        with node.running(0) as port, association(port) as opened:
            until(lambda: not opened.is_established or opened.send_c_echo() is None or said, 20)
        assert said == ["hung up on 127.0.0.1: more than 1 seconds"]

    def test_an_object_that_is_too_large_is_never_taken(self, node: Node, said: list[str], tmp_path: Path,
                                                        dicom_film: Callable[..., bytes]) -> None:
        (tmp_path / "large.dcm").write_bytes(dicom_film(np.zeros((2000, 2000), np.uint16)))
        node = replace(node, limits=Limits(object_bytes=2**20))
        with node.running(0) as port, association(port) as opened:
            with pytest.raises((RuntimeError, AttributeError)):
                assert opened.send_c_store(tmp_path / "large.dcm").Status
            until(lambda: said)
        assert said == ["hung up on 127.0.0.1: an object of more than 1 MiB"]
        assert list(node.films.iterdir()) == []

    def test_many_tiny_objects_are_declined_once_too_many_wait(self, node: Node, said: list[str],
                                                               films: Callable[[int], list[Path]]) -> None:
        def slowly(film: Path) -> Answer:
            time.sleep(0.3)
            return called(film)

        node = replace(node, answer=slowly, limits=Limits(waiting=5))
        with node.running(0) as port, association(port) as opened:
            statuses = Counter(opened.send_c_store(film).Status for film in films(40))
        assert statuses[0xA700] > 0
        assert 5 <= statuses[0] <= 40 - statuses[0xA700]
        assert all("5 films wait" in line for line in said)

    def test_too_many_associations_are_refused(self, node: Node) -> None:
        with replace(node, limits=Limits(associations=1)).running(0) as port, \
                association(port) as first, association(port) as second:
            assert (first.is_established, second.is_established) == (True, False)


@pytest.mark.parametrize(("text", "peer"), [("ORTHANC@127.0.0.1:4242", Peer("ORTHANC", "127.0.0.1", 4242)),
                                            ("A B@[::1]:1", Peer("A B", "::1", 1))])
def test_a_peer_is_named_by_title_host_and_port(text: str, peer: Peer) -> None:
    assert Peer.parse(text) == peer


@pytest.mark.parametrize("text", ["ORTHANC", "127.0.0.1:4242", "O@h:0", "O@h:99999", "SEVENTEEN_LETTERS@h:1",
                                  " @h:1"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(OptionError):
        Peer.parse(text)


def test_a_port_that_is_taken_and_a_folder_in_use_are_said(node: Node, tmp_path: Path) -> None:
    with node.running(0) as port:
        with pytest.raises(OptionError, match="needs an address of this machine and a free port"), \
                replace(node, folder=tmp_path / "other").running(port):
            pass
        with pytest.raises(StorageError, match="One node at a time"), replace(node).running(0):
            pass


def test_a_node_that_others_reach_must_know_whom_it_lets_in(node: Node) -> None:
    with pytest.raises(OptionError, match="must know whom it lets in"), node.running(0, host="0.0.0.0"):
        pass


class Orthanc:
    """An Orthanc of Debian's on loopback, with its own storage."""

    def __init__(self, http: str) -> None:
        self.http = http

    def instances(self) -> list[dict[str, Any]]:
        return [requests.get(f"{self.http}/instances/{one}/simplified-tags", timeout=20).json()
                for one in requests.get(f"{self.http}/instances", timeout=20).json()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ports() -> tuple[int, int, int]:
    """For Orthanc's DICOM and HTTP, and for the node."""
    return free_port(), free_port(), free_port()


@pytest.fixture
def orthanc(tmp_path: Path, ports: tuple[int, int, int], program: Callable[..., str]) -> Iterator[Orthanc]:
    program("Orthanc", "--version")
    plugins = [str(path) for path in Path("/usr/share/orthanc/plugins").glob("libOrthancDicomWeb.so")]
    settings = {"StorageDirectory": str(tmp_path / "orthanc"), "IndexDirectory": str(tmp_path / "orthanc"),
                "DicomAet": "ORTHANC", "DicomPort": ports[0], "HttpPort": ports[1], "Plugins": plugins,
                "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomCheckCalledAet": True,
                "DicomModalities": {"node": ["PNEUMO_TF", "127.0.0.1", ports[2]]},
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}}
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    with (tmp_path / "orthanc.log").open("w") as log:
        process = subprocess.Popen(["Orthanc", str(tmp_path / "orthanc.json")], stdout=log, stderr=log)
    served = Orthanc(f"http://127.0.0.1:{ports[1]}")
    try:
        until(lambda: answers(f"{served.http}/system"))
        yield served
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def test_orthanc_forwards_a_study_and_receives_report_and_capture_back(
        node: Node, orthanc: Orthanc, ports: tuple[int, int, int],
        films: Callable[[int], list[Path]]) -> None:
    archive, (film,) = Peer("ORTHANC", "127.0.0.1", ports[0]), films(1)
    outbox = Outbox(node.folder / "results", by_dimse(archive, title="PNEUMO_TF"))
    requests.post(f"{orthanc.http}/instances", data=film.read_bytes(), timeout=20).raise_for_status()
    study, = requests.get(f"{orthanc.http}/studies", timeout=20).json()
    with replace(node, results=RESULTS, outbox=outbox).running(ports[2]):
        requests.post(f"{orthanc.http}/modalities/node/store", data=study, timeout=60).raise_for_status()
        until(lambda: len(orthanc.instances()) == 3)
    kept = orthanc.instances()
    assert sorted(one["Modality"] for one in kept) == ["CR", "OT", "SR"]
    assert len({one["StudyInstanceUID"] for one in kept}) == len({one["PatientID"] for one in kept}) == 1


def test_results_go_to_an_archive_of_the_web(orthanc: Orthanc, tmp_path: Path, said: list[str],
                                             films: Callable[[int], list[Path]]) -> None:
    film, = films(1)
    outbox = Outbox(tmp_path / "results", by_stow(f"{orthanc.http}/dicom-web"), said.append)
    outbox.put(RESULTS(film, called(film)))
    assert outbox.flush() == 2
    assert sorted(one["Modality"] for one in orthanc.instances()) == ["OT", "SR"]
    assert (outbox.waiting(), said) == ([], [])


class TestWeb:
    def test_results_wait_while_it_is_away(self, tmp_path: Path, films: Callable[[int], list[Path]]) -> None:
        film, = films(1)
        outbox = Outbox(tmp_path / "results", by_stow(f"http://127.0.0.1:{free_port()}/dicom-web"))
        outbox.put(RESULTS(film, called(film)))
        with pytest.raises(PeerError, match="no answer"):
            outbox.flush()
        assert len(outbox.waiting()) == 2

    @pytest.mark.parametrize("status", [401, 404, 503])
    def test_results_wait_where_it_lets_nobody_in(self, status: int, tmp_path: Path,
                                                  films: Callable[[int], list[Path]]) -> None:
        film, = films(1)
        with web_server(status) as url:
            outbox = Outbox(tmp_path / "results", by_stow(url))
            outbox.put(RESULTS(film, called(film)))
            with pytest.raises(PeerError, match=f"HTTP {status}"):
                outbox.flush()
        assert len(outbox.waiting()) == 2

    def test_what_it_refuses_is_laid_aside_one_by_one(self, tmp_path: Path, said: list[str],
                                                      films: Callable[[int], list[Path]]) -> None:
        film, = films(1)
        with web_server(409) as url:
            outbox = Outbox(tmp_path / "results", by_stow(url), said.append)
            outbox.put(RESULTS(film, called(film)))
            assert outbox.flush() == 0
        assert len(list((tmp_path / "results/refused").glob("*.dcm"))) == len(said) == 2

    def test_a_service_must_be_of_the_web(self) -> None:
        with pytest.raises(OptionError, match="must be named by its URL"):
            by_stow("ORTHANC@127.0.0.1:4242")


@contextmanager
def web_server(status: int) -> Iterator[str]:
    """A service that answers every request with that status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    finally:
        server.shutdown()
        server.server_close()
