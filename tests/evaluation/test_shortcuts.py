import json
import tracemalloc
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pneumo_tf.cohort import Cohort, Radiograph
from pneumo_tf.evaluation.scores import Scores
from pneumo_tf.evaluation.shortcuts import PIXEL_FACTS, pixel_facts, shortcuts


def facts_of(label, generator, **changes):
    facts = {"format": "JPEG", "mode": "L", "width": str(generator.integers(1000, 1500)), "height": "1000",
             "bytes": str(int(generator.lognormal(10 - 0.8 * label, 0.5))), "jpeg_quality": "75"}
    return facts | changes


@pytest.fixture
def study():
    """A cohort whose facts come from `facts(label, split, generator)`, and its test films."""
    def make(facts, films=240):
        generator, rows = np.random.default_rng(8), []
        for number in range(films):
            label, split = number % 2, ("train", "test")[number // 2 % 2]
            rows.append(Radiograph(f"f{number}", ("NORMAL", "PNEUMONIA")[label], patient=f"p{number // 4}",
                                   split=split, facts=facts(label, split, generator)))
        cohort = Cohort(tuple(rows))
        test = cohort.subset("test")
        labels = np.array([film.label == "PNEUMONIA" for film in test], dtype=int)
        return cohort, Scores(("NORMAL", "PNEUMONIA"), "PNEUMONIA", test.ids, labels,
                              np.full((len(labels), 2), 0.5), np.array(test.patients))
    return make


def by_name(found):
    return {baseline["name"]: baseline for baseline in found["baselines"]}


def test_a_fact_that_tells_the_classes_apart_is_found_whatever_its_direction(study):
    cohort, test = study(lambda label, split, generator: facts_of(label, generator))
    found = by_name(shortcuts(cohort, test, resamples=100))
    sizes = [int(film.facts["bytes"]) for film in cohort.subset("test")]
    assert found["bytes"]["value"] == pytest.approx(1 - roc_auc_score(test.labels, sizes))
    assert found["bytes"]["low"] < found["bytes"]["value"] < found["bytes"]["high"]
    assert found["all"]["value"] > 0.75
    assert 0.3 < found["megapixels"]["value"] < 0.7


def test_the_direction_comes_from_the_training_films_alone(study):
    def turned(label, split, generator):
        is_high = label == (split == "train")
        return facts_of(label, generator, jpeg_quality="90" if is_high else "60")

    found = by_name(shortcuts(*study(turned), resamples=50))
    assert found["jpeg_quality"]["train"] == 1
    assert found["jpeg_quality"]["value"] == 0


def test_two_facts_together_find_what_neither_finds_alone(study):
    def crossed(label, split, generator):
        common = generator.normal(0, 3)
        return facts_of(0, generator, bytes=str(np.exp(10 + common + 0.5 * label)),
                        jpeg_quality=str(50 + 5 * common))

    found = by_name(shortcuts(*study(crossed), resamples=50))
    assert max(found[name]["value"] for name in ("bytes", "jpeg_quality")) < 0.65
    assert found["all"]["value"] > 0.99


def test_a_fact_that_all_films_share_tells_nothing_and_has_no_interval(study):
    cohort, test = study(lambda label, split, generator: facts_of(label, generator))
    found = by_name(shortcuts(cohort, test, resamples=50))
    assert (found["colour"]["value"], found["colour"]["low"], found["colour"]["high"]) == (0.5, None, None)


@pytest.mark.parametrize(("change", "name"), [({"mode": "RGB"}, "colour"), ({"format": "PNG"}, "jpeg")])
def test_mode_and_format_count_as_shortcuts(study, change, name):
    def marked(label, split, generator):
        return facts_of(label, generator, **(change if label else {}))

    assert by_name(shortcuts(*study(marked), resamples=20))[name]["value"] == 1


def test_plain_labels_without_facts_say_that_nothing_is_known(study):
    assert shortcuts(*study(lambda *_: {})) == {"baselines": [], "why": "no_facts"}
    nonsense = {"width": "0", "bytes": "many", "jpeg_quality": "", "height": "-3"}
    assert shortcuts(*study(lambda *_: nonsense))["why"] == "no_facts"


def test_facts_of_the_frame_are_a_kind_of_their_own_with_a_baseline_of_all(study):
    def framed(label, split, generator):
        return facts_of(label, generator) | {"lungs_height": f"{0.8 + 0.1 * label:.2f}", "near_black": "0"}

    cohort, test = study(framed)
    framing = {row["name"]: row["value"] for row in shortcuts(cohort, test, resamples=20)["baselines"]
               if row["kind"] == "framing"}
    assert framing.keys() == {"aspect", "near_black", "lungs_height", "all_framing"}
    assert (framing["lungs_height"], framing["near_black"]) == (1, 0.5)
    assert framing["all_framing"] == 1


def test_a_few_gaps_are_filled_and_a_fact_that_most_films_lack_is_left_out(study):
    def gappy(label, split, generator):
        facts = facts_of(label, generator)
        if generator.random() < 0.2:
            del facts["bytes"]
        return facts if generator.random() < 0.3 else facts | {"jpeg_quality": ""}

    found = by_name(shortcuts(*study(gappy), resamples=20))
    assert found["bytes"]["value"] > 0.7
    assert "jpeg_quality" not in found
    json.dumps(found, allow_nan=False)


def test_training_films_of_one_class_give_no_baseline(study):
    cohort, test = study(lambda label, split, generator: facts_of(label, generator))
    kept = tuple(film for film in cohort if film.split == "test" or film.label == "NORMAL")
    assert shortcuts(Cohort(kept), test) == {"baselines": [], "why": "one_class_only"}


def brighter(cohort):
    """Pixel facts in which the brightness gives the class away."""
    generator = np.random.default_rng(2)
    labels = np.array([film.label == "PNEUMONIA" for film in cohort])
    return {"brightness": generator.normal(100 + 30 * labels, 10),
            "contrast": generator.normal(50, 5, len(labels))}


def test_pixel_facts_stand_beside_the_file_facts(study):
    cohort, test = study(lambda label, split, generator: facts_of(label, generator))
    pixels = brighter(cohort)
    found = by_name(shortcuts(cohort, test, pixels=pixels, resamples=50))
    tested = np.array([film.split == "test" for film in cohort])
    expected = roc_auc_score(test.labels, pixels["brightness"][tested])
    assert found["brightness"]["value"] == pytest.approx(expected)
    assert found["all_pixels"]["value"] > 0.95
    kinds = {name: baseline["kind"] for name, baseline in found.items()}
    assert {kinds[name] for name in ("brightness", "contrast", "all_pixels")} == {"pixels"}
    assert {kinds[name] for name in ("bytes", "all")} == {"file"}


def test_pixel_facts_are_enough_where_nothing_is_known_of_the_files(study):
    cohort, test = study(lambda *_: {})
    found = shortcuts(cohort, test, pixels=brighter(cohort), resamples=20)
    assert [baseline["name"] for baseline in found["baselines"]] == ["brightness", "contrast", "all_pixels"]


def test_the_difference_to_the_network_is_paired(study):
    cohort, test = study(lambda *_: {})
    pixels = brighter(cohort)
    tested = np.array([film.split == "test" for film in cohort])
    values = np.clip(pixels["brightness"][tested] / 255, 0, 1)
    twin = replace(test, values=np.column_stack([1 - values, values]))
    found = by_name(shortcuts(cohort, twin, pixels=pixels, resamples=100))
    assert found["brightness"]["difference"] == {"value": 0, "low": None, "high": None}
    ahead = found["contrast"]["difference"]
    assert ahead["value"] == pytest.approx(found["brightness"]["value"] - found["contrast"]["value"])
    assert 0 < ahead["low"] < ahead["value"] < ahead["high"]


def test_each_baseline_says_on_what_and_how(study):
    cohort, test = study(lambda label, split, generator: facts_of(label, generator))
    baseline = by_name(shortcuts(cohort, test, resamples=20))["bytes"]
    assert (baseline["films"], baseline["patients"]) == (len(test.ids), len(set(test.patients)))
    assert baseline["method"] == "patient bootstrap (BCa), 20 resamples"


def only(film):
    return {name: float(values[0]) for name, values in pixel_facts([film]).items()}


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(40, 200, (60, 80), dtype=np.uint8)


def test_brightness_and_contrast_are_mean_and_standard_deviation(noise):
    found = only(noise)
    assert found["brightness"] == pytest.approx(noise.mean())
    assert found["contrast"] == pytest.approx(noise.std())


def test_the_border_is_what_lies_outside_the_box_of_the_film(noise):
    framed = np.zeros((100, 100), np.uint8)
    framed[10:70, 5:85] = noise
    assert only(framed)["border"] == pytest.approx(1 - 60 * 80 / 100**2)
    assert only(noise)["border"] == 0


def test_ringing_and_a_dark_lung_are_no_border(noise):
    dark_inside = noise.copy()
    dark_inside[20:40] = 0
    assert only(dark_inside)["border"] == 0
    ringing = np.zeros((100, 100), np.uint8)
    ringing[::2] = 9
    ringing[10:70, 5:85] = noise
    assert only(ringing)["border"] == pytest.approx(1 - 60 * 80 / 100**2)


def test_a_blurred_film_is_less_sharp(noise):
    assert only(cv2.GaussianBlur(noise, (0, 0), 2))["sharpness"] < only(noise)["sharpness"] - 1


def test_a_black_film_has_facts_too():
    assert only(np.zeros((8, 8), np.uint8)) == {"brightness": 0, "contrast": 0, "border": 1, "sharpness": 0}


def test_one_channel_three_channels_and_none_say_the_same(noise):
    films = [noise, noise[:, :, None], np.repeat(noise[:, :, None], 3, axis=2)]
    for values in pixel_facts(films).values():
        assert np.ptp(values) == pytest.approx(0, abs=1e-9)


def test_films_are_read_one_by_one():
    films = (np.full((1000, 1000), 7, np.uint8) for _ in range(40))
    tracemalloc.start()
    found = pixel_facts(films)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # all of them are 40 MB
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(PIXEL_FACTS, (40,))
