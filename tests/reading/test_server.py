"""The served worklist: a dropped film is answered; nobody from elsewhere is heard; names are text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pneumo_tf.errors import FilmError
from pneumo_tf.reading import server as room
from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.incoming import Incoming
from pneumo_tf.reading.overlays import overlay_name
from pneumo_tf.reading.page import key_of
from pneumo_tf.reading.server import WorklistServer
from pneumo_tf.reading.triage import Triage
from pneumo_tf.reading.worklist import Waiting
from pneumo_tf.report.words import language

OURS = {"X-Worklist": "1"}


def read(films: Iterable[Incoming]) -> Iterator[Answer]:
    for film in films:
        yield Answer(film.id, refusal="unreadable", reason="empty file") if not film.read() else \
            Answer(film.id, "PNEUMONIA", 0.9)


@pytest.fixture
def film(phantom_films: Path) -> bytes:
    return min(phantom_films.rglob("*.jpeg")).read_bytes()


@pytest.fixture
def client(tmp_path: Path, film: bytes) -> Iterator[TestClient]:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "first.jpeg").write_bytes(film)
    triage = Triage(folder=tmp_path / "inbox", output=tmp_path / "out", answers=read, positive="PNEUMONIA",
                    run="a run", words=language("en"))
    with triage.claimed():
        triage.refresh()
        with TestClient(WorklistServer(triage, every=0.05, settled=0).application()) as opened:
            opened.triage = triage  # type: ignore[attr-defined]
            yield opened


def drop(client: TestClient, name: str, content: bytes, headers: dict[str, str] = OURS) -> tuple[int, dict]:
    reply = client.post("/films", files={"film": (name, content)}, headers=headers)
    return reply.status_code, reply.json()


def test_a_dropped_film_is_answered_in_the_page(client: TestClient, film: bytes, tmp_path: Path) -> None:
    status, told = drop(client, "new.jpeg", film)
    assert (status, told) == (200, {"id": "new.jpeg", "text": "new.jpeg: PNEUMONIA"})
    assert "2 films wait to be read" in client.get("/").text
    assert (tmp_path / "inbox/new.jpeg").read_bytes() == film
    assert drop(client, "empty.jpeg", b"")[1]["text"] == "empty.jpeg: to be read by a person"


@pytest.mark.parametrize("name", ["../../evil.jpeg", "/etc/evil.jpeg", "..\\evil.jpeg", "C:\\evil.jpeg",
                                  ".evil.jpeg", "e\x00vil.jpeg", "<img src=x>.jpeg", "é" * 300 + ".jpeg"])
def test_a_name_leads_nowhere_and_takes_no_other_films_place(client: TestClient, film: bytes, tmp_path: Path,
                                                             name: str) -> None:
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    assert drop(client, name, film)[0] == 200
    assert drop(client, name, film)[0] == 200
    new = {path for path in tmp_path.rglob("*") if "out" not in path.parts} - before
    assert len(new) == 2
    assert {path.parent for path in new} == {tmp_path / "inbox"}
    assert "<img" not in client.get("/").text.split("</script>")[-1]


def test_pages_of_others_are_not_heard(client: TestClient, film: bytes, tmp_path: Path) -> None:
    assert drop(client, "new.jpeg", film, headers={})[0] == 403
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert [path.name for path in (tmp_path / "inbox").iterdir()] == ["first.jpeg"]


def test_what_is_too_large_or_too_much_is_refused_before_it_is_kept(
        client: TestClient, film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LARGEST", len(film) - 2**20)
    assert drop(client, "large.jpeg", film)[0] == 413
    assert client.post("/films", content=iter([b"x"]), headers=OURS).status_code == 413  # of unknown length
    monkeypatch.undo()
    monkeypatch.setattr(room, "MOST", 1)
    assert [drop(client, f"{number}.jpeg", film)[0] for number in range(2)] == [200, 429]
    assert {path.name for path in (tmp_path / "inbox").iterdir()} == {"first.jpeg", "0.jpeg"}
    assert client.post("/films", data={"film": "text"}, headers=OURS).status_code in (400, 429)


def test_films_are_shown_by_what_they_are_not_by_their_place(client: TestClient, film: bytes) -> None:
    key = key_of(client.triage.films[0])  # type: ignore[attr-defined]
    drop(client, "empty.jpeg", b"")  # is refused, and so comes first
    reply = client.get(f"/film/{key}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/jpeg")
    assert client.get("/film/none").status_code == 404
    assert client.get(f"/overlay/{key}").status_code == 404  # nobody draws any here


def test_a_film_that_goes_while_its_heat_map_is_drawn_is_not_there(client: TestClient,
                                                                   tmp_path: Path) -> None:
    triage = client.triage  # type: ignore[attr-defined]
    waiting, = triage.films

    def late(_: Waiting) -> None:
        raise FilmError("A film must be there.", received="nothing")

    for draw in (late, lambda _: None):  # the film went before it was drawn; the picture after that
        triage.draw = draw
        assert client.get(f"/overlay/{key_of(waiting)}").status_code == 404
    (tmp_path / "out/overlays").mkdir()
    (tmp_path / "out/overlays" / overlay_name(waiting.answer.id)).write_bytes(b"picture")
    assert client.get(f"/overlay/{key_of(waiting)}").content == b"picture"


def test_the_folder_is_followed_and_every_reply_forbids_what_it_should(client: TestClient, film: bytes,
                                                                      tmp_path: Path) -> None:
    before = client.get("/moment").text
    time.sleep(1.1)  # the moment is told in seconds
    (tmp_path / "inbox/second.jpeg").write_bytes(film)
    for _ in range(100):
        if client.get("/moment").text != before:
            break
        time.sleep(0.05)
    page = client.get("/")
    assert "second.jpeg" in page.text
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src &#39;none&#39;" in page.text
