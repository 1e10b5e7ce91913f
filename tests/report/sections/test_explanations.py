import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumo_tf.report.page import write_report
from pneumo_tf.report.sections.explanations import sentence
from pneumo_tf.report.words import language


def add_explanations(run: Path, films: int, *, side: int = 400) -> None:
    """What explain_pict.py leaves: noise panels, which hardly compress, and a record."""
    folder, records = run / "explanations", []
    for number in range(films):
        (folder / f"film-{number}").mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 256, (side, 2 * side, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"film-{number}" / "panel.png")
        lime = {"verdict": "unstable", "r2": 0.4567, "halves_spearman": 0.31, "deletion": 0.25,
                "insertion": 0.75}
        records.append({"name": f"film-{number}", "label": "NORMAL", "predicted": "PNEUMONIA",
                        "explained": "PNEUMONIA", "score": 0.875, "panel": f"film-{number}/panel.png",
                        "methods": {"gradcam": {"verdict": "shown", "deletion": 0.5, "insertion": 0.5},
                                    "lime-slic": lime}})
    (folder / "explanations.json").write_text(json.dumps({"films": records}))


def page_of(run: Path, lang: str = "en") -> str:
    return write_report(run, lang=lang).read_text(encoding="utf-8")


def test_a_run_without_explanations_has_no_section(finished_run):
    assert "Where it looks" not in page_of(finished_run)


@pytest.mark.parametrize(("lang", "title", "verdict", "r2"), [
    ("en", "Where it looks", "too unstable to show", "0.46"),
    ("es", "Dónde mira", "demasiado inestable para mostrarla", "0,46"),
])
def test_each_film_has_its_panel_its_sentence_and_its_verdicts(finished_run, lang, title, verdict, r2):
    add_explanations(finished_run, 2)
    page = page_of(finished_run, lang)
    section = page[page.index('<section id="explain">'):]
    assert title in section
    assert '<a href="#explain">' in page
    assert section.count("data:image/jpeg;base64") == 2
    assert verdict in section
    assert r2 in section
    assert "film-1" in section
    assert "NORMAL" in section


@pytest.mark.parametrize(("lang", "share", "caution"), [
    ("en", ">0.21<", "Caution: less of Grad-CAM lies in the lungs"),
    ("es", ">0,21<", "Cuidado: de Grad-CAM cae menos en los pulmones")])
def test_where_the_network_looks_beside_the_lungs_the_page_says_so(finished_run, lang, share, caution):
    add_explanations(finished_run, 1)
    record = finished_run / "explanations/explanations.json"
    films = json.loads(record.read_text())["films"]
    assert caution not in page_of(finished_run, lang)
    films[0]["methods"]["gradcam"] |= {"mass_in_lungs": 0.21, "lungs_share": 0.4, "beside_lungs": True}
    record.write_text(json.dumps({"films": films}))
    page = page_of(finished_run, lang)
    assert share in page
    assert caution in page


def test_pictures_are_made_small_enough(finished_run):
    add_explanations(finished_run, 1, side=900)
    picture = re.search(r'class="panel"><img src="data:image/jpeg;base64,([^"]+)', page_of(finished_run))
    with Image.open(io.BytesIO(base64.b64decode(picture[1]))) as image:
        assert image.size == (1100, 550)


def test_the_page_stays_below_5_mb_however_many_films_were_explained(finished_run):
    add_explanations(finished_run, 20, side=550)
    page = page_of(finished_run)
    assert len(page.encode()) < 5_000_000
    assert 'id="explain"' in page


@pytest.mark.parametrize("content", ["", "{", "[]", '{"films": 3}', '{"films": [{"name": "a"}]}',
                                     '{"films": [3]}'])
def test_a_damaged_record_does_not_cost_the_report(finished_run, content):
    (finished_run / "explanations").mkdir()
    (finished_run / "explanations/explanations.json").write_text(content)
    assert 'id="explain"' not in page_of(finished_run)


def test_a_panel_that_is_gone_is_left_out(finished_run):
    add_explanations(finished_run, 2)
    (finished_run / "explanations/film-0/panel.png").unlink()
    section = page_of(finished_run)
    assert "film-1</h3>" in section
    assert "film-0</h3>" not in section


@pytest.mark.parametrize(("known", "said"), [
    ({}, "uncalibrated score 0.0863."),  # as records said before
    ({"threshold": None, "calibrated_probability": None}, "uncalibrated score 0.0863."),
    ({"threshold": 0.0893, "calibrated_probability": 0.12},
     "uncalibrated score 0.0863 (threshold 0.0893), calibrated probability 0.1200."),
])
def test_the_caption_says_which_number_is_the_score_and_which_the_probability(known, said):
    record = {"name": "a", "label": "NORMAL", "predicted": "NORMAL", "explained": "SICK", "score": 0.0863}
    assert sentence(record | known, language("en")) == \
        f"a: called NORMAL. Explained: SICK (orange speaks for it, blue against it): {said} It is NORMAL."
