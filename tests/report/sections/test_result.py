import pytest

from pneumo_tf.report.sections.result import rule
from pneumo_tf.report.words import language
from pneumo_tf.runs.folder import read_run


@pytest.mark.parametrize(("name", "code", "said"), [
    ("youden", "en", "Youden: the highest sensitivity + specificity"),
    ("sensitivity>=0.95", "en", "the highest specificity at the sensitivity asked for (sensitivity>=0.95)"),
    ("specificity>=0.9", "es", "la mayor sensibilidad con la especificidad pedida (specificity>=0.9)"),
    ("cost=10", "en", "the least cost, where a missed film is as bad as 10 false alarms"),
    ("cost=2.5@0.02", "es", "el menor coste, si pasar por alto una imagen es tan grave como 2,5 falsas "
                            "alarmas y son positivas 2 de cada 100"),
    ("by the stars", "en", "by the stars")])
def test_every_rule_of_the_operating_point_has_its_words(finished_run, changed, name, code, said):
    changed(finished_run, operating_point={"rule": name, "threshold": 0.5})
    assert rule(read_run(finished_run), language(code)) == said
