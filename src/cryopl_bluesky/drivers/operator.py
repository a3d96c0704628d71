"""The person at the microscope, for parts that have no motor."""

from __future__ import annotations

import getpass
import logging
import math
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO, runtime_checkable

from cryopl_bluesky.clock import Clock
from cryopl_bluesky.drivers.errors import NotConnectedError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OperatorAnswer:
    """What a person was asked and answered.

    Attributes:
        instrument: device name as in the profile.
        question: text of the question.
        answer: the chosen answer.
        operator: name of the person.
        time_s: Unix time of the answer.
    """

    instrument: str
    question: str
    answer: str
    operator: str
    time_s: float


@runtime_checkable
class Operator(Protocol):
    """Somebody who moves manual parts and says how they stand."""

    @property
    def answers(self) -> Sequence[OperatorAnswer]:
        """All answers given so far, oldest first."""
        ...

    def ask(self, instrument: str, question: str, choices: Sequence[str]) -> str:
        """Ask and wait without a time limit; the answer is one of `choices` and is recorded in `answers`.

        Args:
            instrument: device name as in the profile.
            question: what to do, or what to say.
            choices: the answers that are accepted.

        Raises:
            NotConnectedError: there is nobody to ask.
        """
        ...

    def ask_number(self, instrument: str, question: str, unit: str) -> float:
        """Ask for a number that is not negative and wait without a time limit; it is recorded in `answers`.

        Args:
            instrument: device name as in the profile.
            question: what to read.
            unit: of the number.

        Raises:
            NotConnectedError: there is nobody to ask.
        """
        ...


class ConsoleOperator:
    """Asks at the terminal; one question at a time.

    Args:
        clock: gives the time of the answers.
        name: name of the person; "" = the user name of the computer.
        stdin: where the answers come from (default: the terminal at the time of the question).
        read_line: reads one line after showing a prompt.
    """

    def __init__(
        self, clock: Clock, *, name: str = "", stdin: TextIO | None = None,
        read_line: Callable[[str], str] = input,
    ):
        self._clock, self._name, self._stdin, self._read_line = clock, name, stdin, read_line
        self._one_question = threading.Lock()
        self._answers: list[OperatorAnswer] = []

    @property
    def answers(self) -> Sequence[OperatorAnswer]:
        """All answers given so far, oldest first."""
        return tuple(self._answers)

    @property
    def name(self) -> str:
        """Name of the person."""
        if not self._name:
            self._name = _user_name() or self._read_line("Your name, for the record: ").strip() or "unknown"
        return self._name

    def ask(self, instrument: str, question: str, choices: Sequence[str]) -> str:
        """Ask at the terminal until the answer is one of `choices`; a unique beginning of one is enough.

        Raises:
            NotConnectedError: standard input is not a terminal, or it was closed.
        """
        prompt = f"[{instrument}] {question} ({'/'.join(choices)}): "
        return self._recorded(instrument, question, lambda: self._choice(prompt, choices))

    def ask_number(self, instrument: str, question: str, unit: str) -> float:
        """Ask at the terminal until the answer is a finite number that is not negative.

        Raises:
            NotConnectedError: standard input is not a terminal, or it was closed.
        """
        prompt = f"[{instrument}] {question} ({unit}): "
        return float(self._recorded(instrument, question, lambda: self._number(prompt)))

    def _recorded(self, instrument: str, question: str, answered: Callable[[], str]) -> str:
        stdin = self._stdin or sys.stdin
        if stdin is None or not stdin.isatty():
            raise _nobody(instrument, question, "there is no terminal")
        with self._one_question:
            try:
                answer = answered()
                record = OperatorAnswer(instrument, question, answer, self.name, self._clock.time())
            except EOFError as error:
                raise _nobody(instrument, question, "the terminal was closed") from error
            self._answers.append(record)
        log.info("%s answered %r to %s: %s", record.operator, answer, instrument, question)
        return answer

    def _number(self, prompt: str) -> str:
        while True:
            typed = self._read_line(prompt).strip().replace(",", ".")
            try:
                number = float(typed)
            except ValueError:
                continue
            if math.isfinite(number) and number >= 0:
                return typed

    def _choice(self, prompt: str, choices: Sequence[str]) -> str:
        while True:
            typed = self._read_line(prompt).strip().lower()
            exact = [choice for choice in choices if choice.lower() == typed]
            fitting = exact or [choice for choice in choices if typed and choice.lower().startswith(typed)]
            if len(fitting) == 1:
                return fitting[0]


def _nobody(instrument: str, question: str, why: str) -> NotConnectedError:
    return NotConnectedError(instrument, f"an operator is needed ({question!r}) but {why}",
                             "run attended at a terminal, or use the motorised variant of this instrument")


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # KeyError and ImportError: Python < 3.13
        return ""
