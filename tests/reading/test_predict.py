"""Films in, answers out: none stops the rest, and each is what it would be alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.reading.answer import Answer
from pneumo_tf.reading.incoming import Incoming, find_given, opened
from pneumo_tf.reading.predict import UNREADABLE, Reader, Verdict
from pneumo_tf.report.words import language

CUT, FLIPPED, NO_IMAGE, EMPTY, BOMB = 150, 150, 100, 40, 20


def incoming(levels: Sequence[int], film_bytes: Callable[..., bytes]) -> Iterator[Incoming]:
    for number, level in enumerate(levels):
        yield Incoming(f"{number}.png", lambda number=number, level=level: film_bytes(level, seed=number))


def test_answers_come_in_order_with_the_call_at_the_threshold(reader: Reader,
                                                              film_bytes: Callable[..., bytes]) -> None:
    levels = [int(level) for level in np.random.default_rng(0).integers(40, 216, 70)]
    answers = list(reader.answers(incoming(levels, film_bytes)))
    assert [answer.id for answer in answers] == [f"{number}.png" for number in range(70)]
    for answer, level in zip(answers, levels, strict=True):
        assert answer.score == pytest.approx(level / 255, abs=0.02)
        assert answer.call == ("PNEUMONIA" if answer.score >= 0.5 else "NORMAL")
        odds = answer.score / (1 - answer.score)
        assert answer.probability == pytest.approx(odds**2 / (1 + odds**2), rel=1e-5)  # a temperature of 0.5
        assert answer.probabilities == pytest.approx((1 - answer.probability, answer.probability))
        assert (answer.low, answer.high, answer.threshold, answer.refusal) == (None, None, 0.5, "")
        assert answer.ms > 0


def test_the_range_is_of_views_and_the_film_is_one_of_them(reader: Reader,
                                                           film_bytes: Callable[..., bytes]) -> None:
    levels = [60, 132, 200]
    plain = list(reader.answers(incoming(levels, film_bytes)))
    viewed = list(replace(reader, views=8).answers(incoming(levels, film_bytes)))
    for one, other in zip(plain, viewed, strict=True):
        assert (one.call, one.score, one.probability) == (other.call, other.score, other.probability)
        assert other.low is not None
        assert other.high is not None
        assert 0 < other.low <= other.probability <= other.high < 1
        assert other.high - other.low > 0.01
    assert viewed[0].reason == ""
    assert "of 7 slightly changed views of it are called otherwise" in viewed[1].reason


def test_a_film_has_the_same_range_wherever_it_comes_in(reader: Reader,
                                                        film_bytes: Callable[..., bytes]) -> None:
    several = replace(reader, views=4)
    together = {answer.id: replace(answer, ms=0)
                for answer in several.answers(incoming([50, 100, 150, 200], film_bytes))}
    alone = Incoming("2.png", lambda: film_bytes(150, seed=2))
    assert replace(next(several.answers([alone])), ms=0) == together["2.png"]


def test_members_of_an_ensemble_widen_the_range(ensemble: Reader, film_bytes: Callable[..., bytes]) -> None:
    answer = next(ensemble.answers(incoming([150], film_bytes)))
    assert answer.high == answer.probability  # of the film, as the first member scores it
    assert answer.low is not None
    assert answer.low < answer.probability
    assert answer.reason == "1 of 2 networks call it otherwise"


def test_of_several_classes_the_called_ones_probability_is_told(reader: Reader,
                                                                film_bytes: Callable[..., bytes]) -> None:
    def three(films: np.ndarray) -> np.ndarray:
        grey = films.mean(axis=(1, 2, 3)) / 255
        return np.stack([0.5 - grey / 2, grey, 0.5 - grey / 2], axis=1)

    predictor = replace(reader.predictor, classes=("A", "B", "C"), positive="A", threshold=None, engine=three)
    for answer, call in zip(replace(reader, predictor=predictor).answers(incoming([40, 220], film_bytes)),
                            ("A", "B"), strict=True):
        assert (answer.call, answer.threshold) == (call, None)
        assert answer.probability == max(answer.probabilities)
        assert sum(answer.probabilities) == pytest.approx(1)


def test_what_is_seen_before_and_after_the_network_can_refuse(reader: Reader,
                                                              film_bytes: Callable[..., bytes]) -> None:
    def look(film: Image.Image) -> Verdict:
        return Verdict("too_small", "40 pixels wide") if film.width == 40 else Verdict("", "a small film")

    def judge(film: np.ndarray, features: np.ndarray) -> Verdict:
        assert film.shape == (24, 24, 3)
        assert features == pytest.approx(film.mean() / 255)
        return Verdict("unlike", "too bright") if features[0] > 0.6 else Verdict("", "nearly too dark")

    films = [Incoming(str(side), lambda side=side, level=level: film_bytes(level, side=side))
             for side, level in ((40, 90), (50, 90), (60, 200))]
    answers = list(replace(reader, look=look, judge=judge).answers(films))
    assert [(answer.refusal, answer.reason, answer.call) for answer in answers] == [
        ("too_small", "40 pixels wide", ""), ("", "a small film; nearly too dark", "NORMAL"),
        ("unlike", "too bright", "")]
    assert answers[0].probability is answers[2].score is None


def test_a_film_that_taught_the_run_is_recognised_wherever_it_lies(
        reader: Reader, film_bytes: Callable[..., bytes], tmp_path: Path) -> None:
    import hashlib

    data = film_bytes(90)
    for place in ("home", "elsewhere"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "film.png").write_bytes(data)
    (tmp_path / "home/film.png").write_bytes(film_bytes(91))  # prepared, so other bytes than its original
    learnt = frozenset([hashlib.sha256(data).hexdigest(), str(tmp_path / "home/film.png")])
    knowing = replace(reader, learnt=learnt)
    for place, told in (("home", True), ("elsewhere", True)):
        with opened(find_given([str(tmp_path / place)])) as films:
            assert ("learnt from this very film" in next(knowing.answers(films)).reason) is told
    assert next(knowing.answers([Incoming("new", lambda: film_bytes(92))])).reason == ""


def test_those_who_see_answers_see_the_pixels_too(reader: Reader, film_bytes: Callable[..., bytes]) -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []
    watched = replace(reader, views=3, saw=lambda answer, film: seen.append((answer.id, film.shape)))
    films = [*incoming([90], film_bytes), Incoming("letter", lambda: b"Dear doctor")]
    assert len(list(watched.answers(films))) == 2
    assert seen == [("0.png", (24, 24, 3))]


def write_fuzz(folder: Path, film_bytes: Callable[..., bytes]) -> int:
    """Write files that look like films and are none; how many."""
    rng = np.random.default_rng(0)

    def damaged(number: int, *, cut: bool) -> bytes:
        form = ("JPEG", "PNG", "GIF", "JPEG2000", "TIFF")[number % 5] if cut else "PNG"
        data = bytearray(film_bytes(90, form, seed=number))
        if cut:
            return bytes(data[: rng.integers(1, int(0.9 * len(data)))])
        data[rng.integers(8, len(data) - 24)] ^= 1 << rng.integers(8)  # before the checksums and the end
        return bytes(data)

    contents = {
        **{f"cut-{n}.jpeg": damaged(n, cut=True) for n in range(CUT)},
        **{f"flipped-{n}.png": damaged(n, cut=False) for n in range(FLIPPED)},
        **{f"letter-{n}.{('jpeg', 'png', 'bmp', 'pdf', 'npy')[n % 5]}": f"Dear doctor {n}".encode() * n
           for n in range(1, NO_IMAGE + 1)},
        **{f"empty-{n}.png": b"" for n in range(EMPTY)},
        **{f"bomb-{n}.png": bomb(n) for n in range(BOMB)}}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    for number in range(20):
        (folder / f"loop-{number}.png").symlink_to(f"loop-{(number + 1) % 20}.png")
        (folder / f"dangling-{number}.png").symlink_to("nowhere.png")
    return len(contents) + 40


def bomb(number: int) -> bytes:
    """A PNG of a few bytes whose header claims 40,000 pixels a side, or blank, or a spine a thousand high."""
    import struct
    import zlib

    width, height = ((40_000, 40_000), (32, 32), (16, 999))[number % 3]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((width + 1) * height) if width < 100 else b"")
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # what Pillow says of a TIFF that was cut
def test_500_files_that_are_no_films_cost_none_of_50_films_its_answer(
        reader: Reader, film_bytes: Callable[..., bytes], tmp_path: Path) -> None:
    good = {f"film-{n}.{form.lower()}": film_bytes(20 + 4 * n, form, seed=n)
            for n in range(50) for form in [("PNG", "JPEG", "TIFF", "BMP", "WEBP")[n % 5]]}
    for name in ("clean", "mixed"):
        (tmp_path / name).mkdir()
        for film, data in good.items():
            (tmp_path / name / film).write_bytes(data)
    assert write_fuzz(tmp_path / "mixed", film_bytes) == 500

    def answers_of(name: str) -> list[Answer]:
        with opened(find_given([str(tmp_path / name)])) as films:
            return [replace(answer, ms=0) for answer in reader.answers(films)]

    clean, mixed = answers_of("clean"), answers_of("mixed")
    assert [answer for answer in mixed if not answer.refusal] == clean
    assert len(clean) == 50
    refused = [answer for answer in mixed if answer.refusal]
    assert len(refused) == 500
    assert {answer.refusal for answer in refused} == {UNREADABLE}
    assert all(answer.reason and answer.call == "" and answer.score is None for answer in refused)
    assert len({answer.id for answer in mixed}) == 550


def test_reasons_are_in_the_readers_language(reader: Reader, film_bytes: Callable[..., bytes]) -> None:
    films = [Incoming("cut.png", lambda: film_bytes(90)[:300]), Incoming("scan.pdf", lambda: b"%PDF"),
             Incoming("gone.png", lambda: b"", trouble="can't be opened (No such file or directory)")]
    told = [answer.reason for answer in replace(reader, words=language("es")).answers(films)]
    assert told == ["imagen truncada o dañada", "formato de imagen que no se lee: expórtelo como PNG",
                    "no se puede abrir (no existe el archivo)"]
