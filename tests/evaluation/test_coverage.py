"""Whether 95 % means 95 %: the simulation of benchmarks/coverage.py, smaller."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("coverage_benchmark", SCRIPT)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def clustered(benchmark):
    return benchmark.coverage(benchmark.Design(120, 0.90), studies=300, resamples=200)


RIGHT = ["Wilson by patient", "DeLong by patient", "bootstrap by patient: area",
         "bootstrap by patient: balanced accuracy", "bootstrap by patient: net benefit at 0.5"]
# Three standard errors of a share from 300 studies; what 93 to 97 means to a point is the benchmark's to say.
LEAST = 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


@pytest.mark.parametrize("name", RIGHT)
def test_intervals_by_patient_hold_the_truth(clustered, name):
    assert clustered[name] > LEAST


@pytest.mark.parametrize("name", ["DeLong of films*", "bootstrap of films*: area",
                                  "bootstrap of films*: net benefit at 0.5"])
def test_intervals_that_take_films_for_patients_do_not(clustered, name):
    assert clustered[name] < LEAST


def test_wilsons_interval_gains_by_patients_too(clustered):
    assert clustered["Wilson of films*"] < clustered["Wilson by patient"] - 0.03


def test_the_truths_are_those_of_a_large_study(benchmark):
    design = benchmark.Design(60_000, 0.90)
    study = benchmark.simulate(design, np.random.default_rng(0))
    found = {name: float(statistic(np.ones((1, len(study.scores))))[0])
             for name, statistic in benchmark._statistics(study).items()}
    assert found == pytest.approx({"area": 0.90, "balanced accuracy": design.recall,
                                   "net benefit at 0.5": benchmark._benefit(design)}, abs=0.006)
    films = np.unique(study.groups, return_counts=True)[1]
    assert (films.min(), films.max()) == (1, 10)
    assert films.mean() == pytest.approx(2, abs=0.05)
