"""A message says the rule, what was received and the remedy, on one line."""

import pickle

import pytest

from pneumo_tf.errors import FilmError, LabelError, OptionError, PneumoError, StorageError, WeightsError


def test_a_message_has_three_parts() -> None:
    error = PneumoError("A cat has four legs.", received="three", remedy="Count again.")
    assert str(error) == "A cat has four legs. Received: three. Count again."
    assert (error.rule, error.received, error.remedy) == ("A cat has four legs.", "three", "Count again.")


def test_parts_that_are_not_given_leave_no_trace() -> None:
    assert str(PneumoError("A cat has four legs.")) == "A cat has four legs."
    assert str(PneumoError("A cat has four legs.", remedy="Count.")) == "A cat has four legs. Count."


def test_line_breaks_never_reach_the_person() -> None:
    error = PneumoError("A\ncat.", received="a\r\nfolder\twith tabs", remedy="Count\n\nagain.")
    assert str(error) == "A cat. Received: a folder with tabs. Count again."


@pytest.mark.parametrize("kind", [OptionError, FilmError, LabelError, WeightsError, StorageError])
def test_every_kind_is_caught_as_one(kind: type[PneumoError]) -> None:
    with pytest.raises(PneumoError, match="Rule"):
        raise kind("Rule.")


def test_an_error_comes_back_whole_from_a_worker_process() -> None:
    error = FilmError("A cat has four legs.", received="three", remedy="Count again.")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is FilmError
    assert (str(back), back.rule, back.received, back.remedy) == (
        str(error), error.rule, error.received, error.remedy)
