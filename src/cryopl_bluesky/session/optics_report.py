"""`cryopl optics`: what follows from the lenses, slits and gratings of a profile, and whether it fits together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.config import Profile
from cryopl_bluesky.session.optics_article import article_inconsistencies, article_numbers
from cryopl_bluesky.session.optics_checks import findings
from cryopl_bluesky.session.optics_numbers import profile_numbers
from cryopl_bluesky.session.optics_terms import Finding, Group, Inconsistency, Number
from cryopl_bluesky.settings_file import ConfigError

NOTHING = 1e-12
"""Shown as zero."""
STYLES = {"ok": "green", "note": "", "warning": "yellow", "error": "bold red"}


@dataclass(frozen=True)
class OpticsReport:
    """All that `cryopl optics` says.

    Attributes:
        profile: Name of the profile.
        groups: Numbers of this profile and, last, of the publication.
        findings: Consistency checks of the profile.
        inconsistencies: Of the publication.
    """

    profile: str
    groups: tuple[Group, ...]
    findings: tuple[Finding, ...]
    inconsistencies: tuple[Inconsistency, ...]

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.level == "error" for finding in self.findings)

    def value(self, group: str, key: str) -> float:
        """One number.

        Raises:
            KeyError: There is none of these names.
        """
        return {(g.key, n.key): n.value for g in self.groups for n in g.numbers}[group, key]

    def record(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "profile": self.profile,
            "numbers": {
                group.key: {
                    n.key: {"value": n.value, "unit": n.unit, "text": n.text, "article": n.article or None}
                    for n in group.numbers
                }
                for group in self.groups
            },
            "findings": [vars(finding) for finding in self.findings],
            "inconsistencies": [vars(item) for item in self.inconsistencies],
        }

    def print(self, console: Console) -> None:
        """The report as tables."""
        for group in self.groups:
            console.print(_numbers_table(group))
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title="where the publication does not fit together")
        for column in ("", "issue", "publication", "computed or other reading", "used here"):
            table.add_column(column)
        for item in self.inconsistencies:
            table.add_row(str(item.number), *map(escape, (item.issue, item.article, item.computed, item.used)))
        console.print(table)
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"does profile {escape(self.profile)} fit together?")
        for column in ("", "check", "result"):
            table.add_column(column, no_wrap=column != "result")
        for finding in self.findings:
            table.add_row(finding.level, finding.name, escape(finding.text), style=STYLES[finding.level])
        console.print(table)


def optics_report(profile: Profile) -> OpticsReport:
    """Compute everything that `cryopl optics` says of a profile.

    Raises:
        ConfigError: Numbers that no optics can have, such as a wavelength which a grating cannot reach.
    """
    try:
        groups = (*profile_numbers(profile), article_numbers())
        return OpticsReport(profile.name, groups, findings(profile), article_inconsistencies())
    except AnalysisError as error:
        raise ConfigError(f"profile {profile.name}, section [optics]", [(0, str(error))]) from error


def _numbers_table(group: Group) -> Table:
    if any(number.of for number in group.numbers):
        return _comparing_table(group)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=group.title)
    table.add_column("quantity")
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    told = any(number.article for number in group.numbers)
    if told:
        table.add_column("publication")
    for number in group.numbers:
        row = [escape(number.text), _digits(number.value), number.unit]
        table.add_row(*row, *([escape(number.article)] if told else []))
    return table


def _comparing_table(group: Group) -> Table:
    """One row for each thing that the numbers belong to."""
    rows: dict[str, list[Number]] = {}
    for number in group.numbers:
        rows.setdefault(number.of, []).append(number)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=group.title)
    table.add_column("")
    for number in next(iter(rows.values())):
        table.add_column(f"{escape(number.text)}, {number.unit}", justify="right")
    for name, numbers in rows.items():
        table.add_row(name, *(_digits(number.value) for number in numbers))
    return table


def _digits(value: float) -> str:
    return "0" if abs(value) < NOTHING else f"{value:.5g}"
