"""A cohort goes through CSV unchanged, remembers what was dropped, and refuses broken tables."""

import unicodedata
from pathlib import Path

import pytest

from pneumo_tf.cohort import Cohort, Dropped, Radiograph, Step
from pneumo_tf.errors import LabelError

FULL = Radiograph("NORMAL-1", "NORMAL", file="NORMAL-1.jpeg", patient="IM-0115", subtype="", origin="train",
                  split="test", source="train/NORMAL/IM-0115-0001.jpeg", sha256="ab" * 32,
                  facts={"width": "1857", "mode": "L"})
BARE = Radiograph("radiografía, niño \"01\"", "PNEUMONIA")


@pytest.fixture
def cohort() -> Cohort:
    return Cohort((FULL, BARE, Radiograph("007", "NA", patient="null", facts={"jpeg_quality": "95"})))


def table(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "labels.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


class TestThroughCsv:
    def test_nothing_is_lost_on_the_way(self, cohort: Cohort, tmp_path: Path) -> None:
        cohort.write_csv(tmp_path / "a.csv")
        assert Cohort.read_csv(tmp_path / "a.csv") == cohort

    def test_the_first_two_columns_are_id_and_clase(self, cohort: Cohort, tmp_path: Path) -> None:
        cohort.write_csv(tmp_path / "a.csv")
        header = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[0]
        assert header == "id,clase,file,patient,origin,split,source,sha256,width,mode,jpeg_quality"

    def test_columns_that_nobody_fills_are_left_out(self) -> None:
        assert list(Cohort((BARE,)).to_frame().columns) == ["id", "clase"]
        assert list(Cohort(()).to_frame().columns) == ["id", "clase"]

    @pytest.mark.parametrize(("content", "reason"), [
        ("id,clase\na,N\n", "plain"), ("id;clase\r\na;N\r\n", "a Spanish spreadsheet"),
        ("\ufeffid,clase\na,N\n", "a byte order mark"), ("id,clase\n a , N \n", "blanks around"),
        ("sep=;\nid;clase\na;N\n", "Excel's own line"),
        ('"sep=,"\r\nid,clase\r\na,N\r\n', "quoted by another"),
        ("SEP=\t\nid\tclase\na\tN\n", "tabs"), ("id\tclase\na\tN\n", "tabs without a word"),
        ('"id","clase"\n"a","N"\n', "quoted"), ("id,clase,,\na,N,,\n", "columns that were never filled"),
        ("id,clase\n\na,N\n\n", "empty lines"),
    ])
    def test_tables_of_others_are_read(self, tmp_path: Path, content: str, reason: str) -> None:
        assert Cohort.read_csv(table(tmp_path, content)).radiographs == (Radiograph("a", "N"),), reason

    @pytest.mark.parametrize(("content", "told"), [
        ("", "must have a header"), ("id,clase\n", "at least one row"), ("id\na\n", "must be id,clase"),
        ("clase,id\nN,a\n", "must be id,clase. Received: .* with clase,id"),
        ("a,N\nb,P\n", "must be id,clase"),
        ("id,clase\n,N\n", "line 2 with a blank id"), ("id,clase\na,N\nb,\n", "line 3 with a blank clase"),
        ("sep=;\nid;clase\na;N\nb;\n", "line 4 with a blank clase"),
        ("id,clase\na,N\na,P\n", "must be unique. Received: 1 repeated, e.g. 'a'"),
        ("id,clase\nfilm, left.png,N\n", "as many fields as the header"),
        ("id,clase\na,N\nfilm, left.png,N\n", "as many fields as the header"),
        ("id,clase,patient,age,patient\na,N,1,7,2\n", "different names. Received: .* two columns patient"),
        ("id,clase,'=a,=a\na,N,1,7\n", "different names. Received: .* two columns =a"),
        ('id,clase\n"a,N\n', "as many fields as the header"),
        ("id,clase\nni\xf1o,N\n".encode("latin-1"), "must be UTF-8 text. Received: .* byte 0xf1 at 11"),
    ])
    def test_broken_tables_are_refused_in_one_line(
            self, tmp_path: Path, content: str | bytes, told: str) -> None:
        with pytest.raises(LabelError, match=told) as caught:
            Cohort.read_csv(table(tmp_path, content))
        assert "\n" not in str(caught.value)

    def test_names_have_one_spelling_but_paths_stay_as_on_the_disk(self, tmp_path: Path) -> None:
        mac = unicodedata.normalize("NFD", "niño")
        content = f"id,clase,file,patient\n{mac},NEUMONÍA\u200b,{mac}.png,P\ufeff7\n"
        film, = Cohort.read_csv(table(tmp_path, content))
        assert (film.id, film.label, film.file, film.patient) == ("niño", "NEUMONÍA", f"{mac}.png", "P7")

    @pytest.mark.parametrize("name", ["missing.csv", "."])
    def test_a_table_that_is_no_file_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(LabelError, match="must be a readable file"):
            Cohort.read_csv(tmp_path / name)


    def test_names_that_are_formulas_are_neither_run_nor_lost(self, tmp_path: Path) -> None:
        films = Cohort((Radiograph("=1+1", "@SUM(A1)", "-film.jpeg", facts={"=x": "+1+1"}),))
        films.write_csv(tmp_path / "labels.csv")
        assert (tmp_path / "labels.csv").read_text() == \
            "id,clase,file,'=x\n'=1+1,'@SUM(A1),'-film.jpeg,'+1+1\n"
        assert Cohort.read_csv(tmp_path / "labels.csv") == films


class TestHistory:
    def test_what_is_not_kept_is_noted(self, cohort: Cohort) -> None:
        kept = cohort.keep(lambda film: film.id != "NORMAL-1", stage="first", reason="odd")
        assert kept.ids == [BARE.id, "007"]
        assert kept.history == (Step("first", 2, (Dropped("NORMAL-1.jpeg", "odd"),)),)
        assert len(kept.with_step(Step("second", 2)).history) == 2

    def test_reasons_are_counted_most_frequent_first(self) -> None:
        dropped = [Dropped("a", "rare"), Dropped("b", "often"), Dropped("c", "often")]
        assert list(Step("x", 0, tuple(dropped)).reasons().items()) == [("often", 2), ("rare", 1)]

    def test_history_survives_every_change(self, cohort: Cohort) -> None:
        cohort = cohort.with_step(Step("x", 3))
        assert cohort.with_column("split", ["train"] * 3).subset("train").history == cohort.history


class TestColumns:
    def test_a_column_is_set_film_by_film_on_a_copy(self, cohort: Cohort) -> None:
        split = cohort.with_column("split", ["train", "test", "train"])
        assert split.subset("train").ids == ["NORMAL-1", "007"]
        assert cohort.radiographs[0].split == "test"

    def test_a_column_must_fit(self, cohort: Cohort) -> None:
        with pytest.raises(ValueError, match="shorter"):
            cohort.with_column("split", ["train"])
        with pytest.raises(KeyError):
            cohort.with_column("colour", ["red"] * 3)

    def test_classes_are_in_alphabetical_order(self, cohort: Cohort) -> None:
        assert cohort.classes == ["NA", "NORMAL", "PNEUMONIA"]
        assert len(cohort) == len(cohort.ids) == len(cohort.labels) == len(cohort.patients) == 3

    def test_repeated_ids_are_refused(self) -> None:
        with pytest.raises(LabelError, match="1 repeated, e\\.g\\. 'a'"):
            Cohort((Radiograph("a", "N"), Radiograph("a", "P")))
