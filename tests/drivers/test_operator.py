"""The operator at the console: answers are recorded, and nobody is asked where nobody sits."""

import io

import pytest

from cryopl_bluesky.clock import SystemClock
from cryopl_bluesky.drivers.errors import NotConnectedError
from cryopl_bluesky.drivers.operator import ConsoleOperator, Operator, OperatorAnswer


class FixedClock(SystemClock):
    def time(self):
        return 1234.5


class Terminal(io.StringIO):
    def isatty(self):
        return True


def typing(*lines, **kwargs):
    typed, prompts = iter(lines), []

    def read_line(prompt):
        prompts.append(prompt)
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    operator = ConsoleOperator(FixedClock(), stdin=Terminal(), read_line=read_line, **kwargs)
    return operator, prompts


def test_answer_is_recorded_with_time_and_name():
    operator, prompts = typing("in", name="Ada")
    assert isinstance(operator, Operator)
    assert operator.ask("l1_flip", "Where is L1?", ("in", "out")) == "in"
    assert prompts == ["[l1_flip] Where is L1? (in/out): "]
    assert operator.answers == (OperatorAnswer("l1_flip", "Where is L1?", "in", "Ada", 1234.5),)


def test_asks_again_until_the_answer_is_clear():
    operator, prompts = typing("", "perhaps", "D", name="Ada")
    assert operator.ask("laser", "Key off.", ("done", "refuse")) == "done"
    assert len(prompts) == 3


def test_an_ambiguous_beginning_is_no_answer():
    operator, prompts = typing("2", "2.5", name="Ada")
    assert operator.ask("laser", "Rate?", ("2.5", "20", "2")) == "2"  # exact wins
    assert operator.ask("laser", "Rate?", ("2.5", "20")) == "2.5"
    assert len(prompts) == 2


def test_name_comes_from_the_computer(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "grete")
    operator, _ = typing("in")
    operator.ask("l1_flip", "?", ("in",))
    assert operator.answers[0].operator == "grete"


def test_name_is_asked_when_the_computer_does_not_know(monkeypatch):
    def unknown():
        raise OSError("no user")

    monkeypatch.setattr("getpass.getuser", unknown)
    operator, _ = typing("in", "Grete")
    operator.ask("l1_flip", "?", ("in",))
    assert operator.answers[0].operator == "Grete"


def test_without_a_terminal_it_refuses_with_a_remedy():
    operator = ConsoleOperator(FixedClock(), stdin=io.StringIO("in\n"))
    with pytest.raises(NotConnectedError, match=r"no terminal.*run attended.*motorised"):
        operator.ask("l1_flip", "Where is L1?", ("in", "out"))
    assert operator.answers == ()


def test_a_terminal_that_is_closed_meanwhile_is_an_error():
    operator, _ = typing(name="Ada")
    with pytest.raises(NotConnectedError, match="closed"):
        operator.ask("l1_flip", "Where is L1?", ("in", "out"))


def test_a_number_is_asked_for_until_it_is_one():
    operator, prompts = typing("", "much", "-1", "nan", "4,14", name="Ada")
    assert operator.ask_number("power_meter", "Average power?", "uW") == 4.14
    assert prompts[0] == "[power_meter] Average power? (uW): " and len(prompts) == 5
    assert operator.answers[-1] == OperatorAnswer("power_meter", "Average power?", "4.14", "Ada", 1234.5)


def test_nobody_is_asked_for_a_number_where_nobody_sits():
    with pytest.raises(NotConnectedError, match="there is no terminal"):
        ConsoleOperator(FixedClock(), stdin=io.StringIO()).ask_number("power_meter", "Average power?", "uW")
