"""Names: one spelling for what reads the same, and which of two classes is the healthy one."""

import unicodedata

import pytest

from pneumo_tf.errors import LabelError, OptionError
from pneumo_tf.names import clean, fold, is_healthy, positive_class, refuse_twins


@pytest.mark.parametrize("written", [
    unicodedata.normalize("NFD", "NEUMONÍA"), "NEUMONÍA\u200b", "\ufeffNEUMONÍA", "NEU\u00adMONÍA",
    " NEUMONÍA ", "\u202aNEUMONÍA\u202c"])
def test_a_name_has_one_spelling_however_it_was_composed(written: str) -> None:
    assert clean(written) == "NEUMONÍA"


@pytest.mark.parametrize(("one", "other"), [
    ("Neumonía", "NEUMONIA"), ("ＮＯＲＭＡＬ", "normal"), ("viral  pneumonia", "viral_pneumonia"),
    ("covid\u00a019", "COVID-19"), ("N\u041eRMAL", "NORMAL"), ("ﬁbrosis", "fibrosis")])
def test_classes_that_look_alike_are_refused(one: str, other: str) -> None:
    assert fold(one) == fold(other)
    with pytest.raises(LabelError, match="must not look alike"):
        refuse_twins([one, "x", other])


@pytest.mark.parametrize(("one", "other"), [("A", "A-"), ("A+", "A"), ("grade 1", "grade 11"), ("か", "が")])
def test_other_names_stay_apart(one: str, other: str) -> None:
    refuse_twins([one, other, one])


@pytest.mark.parametrize(("negative", "positive"), [
    ("Normal", "Neumonía"), ("normal", "cancer"), ("nevus", "melanoma"), ("benigno", "maligno"),
    ("sano", "covid"), ("control", "tuberculosis"), ("No_Finding", "Mass"), ("NoFinding", "Mass"),
    ("sin hallazgos", "nódulo"), ("without pneumonia", "pneumonia"), ("non-covid", "covid"),
    ("noncovid", "covid"), ("Notb", "Tb"), ("negativo", "positivo"), ("ausente", "presente"), ("0", "1"),
    ("class 0", "class 1"), ("clear lungs", "opacity"), ("COVID negative", "COVID positive"),
    ("0_normal", "1_pneumonia"), ("1_normal", "0_pneumonia"), ("Saludable", "enfermo"),
    ("healthy", "unhealthy"),
    ("normal", "abnormal"), ("normal", "not normal"), ("benign nevus", "basal cell carcinoma"),
    ("no", "yes")])
def test_of_two_classes_the_one_that_is_not_healthy_is_looked_for(negative: str, positive: str) -> None:
    for classes in ([negative, positive], [positive, negative], [negative.upper(), positive.upper()]):
        assert fold(positive_class(classes)) == fold(positive)


@pytest.mark.parametrize("classes", [["bacterial", "viral"], ["benign", "normal"], ["PNEUMONIA", "COVID"],
                                     ["clear cell carcinoma", "papillary carcinoma"], ["A", "B"]])
def test_where_the_names_do_not_tell_it_is_asked(classes: list[str]) -> None:
    with pytest.raises(OptionError, match="--positive") as asked:
        positive_class(classes)
    assert all(name in str(asked.value) for name in classes)
    assert positive_class(classes, classes[0]) == classes[0]


def test_the_positive_class_may_be_typed_in_any_case_and_without_accents() -> None:
    assert positive_class(["NORMAL", "Neumonía"], "neumonia") == "Neumonía"
    with pytest.raises(OptionError, match=r"Did you mean Neumonía\?"):
        positive_class(["NORMAL", "Neumonía"], "neumona")


@pytest.mark.parametrize(("classes", "positive"), [
    (["BACTERIAL", "NORMAL", "VIRAL"], "VIRAL"), (["COVID", "PNEUMONIA", "SANO"], "PNEUMONIA"),
    (["glioma", "notumor", "zzz normal"], "glioma"), (["benign", "malignant", "normal"], "malignant")])
def test_a_healthy_class_never_stands_for_several(classes: list[str], positive: str) -> None:
    assert positive_class(classes) == positive


@pytest.mark.parametrize("name", ["nodule", "abnormal", "unhealthy", "non-healthy", "not clear", "novel"])
def test_what_only_begins_like_a_healthy_word_is_not_healthy(name: str) -> None:
    assert not is_healthy(name)
