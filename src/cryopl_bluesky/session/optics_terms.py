"""What a report on optics is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True)
class Number:
    """One computed quantity.

    Attributes:
        key: Its name in JSON, with the unit at the end.
        text: What it is, for people.
        value: The number.
        unit: Its unit; "" = none.
        article: What the publication says; "" = nothing.
        of: What it belongs to, if a group tells the same of several, such as gratings.
    """

    key: str
    text: str
    value: float
    unit: str = ""
    article: str = ""
    of: str = ""


@dataclass(frozen=True)
class Group:
    """Numbers that belong together.

    Attributes:
        key: Name in JSON.
        title: Title for people.
        numbers: The numbers.
    """

    key: str
    title: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Finding:
    """What a consistency check of the profile says.

    Attributes:
        level: "ok", "note" (cannot be checked, or good to know), "warning", or "error" (numbers will be wrong).
        name: What was checked.
        text: Values, limit and remedy in words.
    """

    level: Level
    name: str
    text: str


@dataclass(frozen=True)
class Inconsistency:
    """Something in the publication that does not fit together.

    Attributes:
        number: As in facts/setup.md section 7.
        issue: What it is.
        article: What the publication says.
        computed: What comes out, or the other reading.
        used: What this software does.
    """

    number: int
    issue: str
    article: str
    computed: str
    used: str
