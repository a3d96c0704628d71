"""Reports as the `cryopl` command prints them: the names are those of `--json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cryopl_bluesky.reports import Report, Value

_SAID_ELSEWHERE = {"measurement", "origin", "method", "notes", "warnings"}
_WORDS = {"notes", "problem", "problems"}


def print_report(report: Report, console: Console) -> None:
    """Print the numbers of a report, then where they are from and what speaks against them.

    Args:
        report: from `reports`.
        console: where to.
    """
    numbers, lists = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=report.origin.target, title_justify="left"), []
    numbers.add_column("quantity", no_wrap=True)
    numbers.add_column("value")
    for name, value in _rows(report):
        if _is_list(value):
            lists.append(_list_table(name, value))
        else:
            numbers.add_row(name, Text(_text(value)))
    if numbers.row_count:
        console.print(numbers)
    for table, said in lists:
        console.print(table)
        for line in said:
            console.print(f"  {line}", highlight=False, markup=False)
    for line in _origin_lines(report):
        console.print(line, highlight=False, markup=False)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="bold red", highlight=False, markup=False)


def _rows(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values, nested ones with their path; what is not there is left out."""
    for field in fields(part):
        value = getattr(part, field.name)
        if not field.metadata.get("json", True) or value is None or (not prefix and field.name in _SAID_ELSEWHERE):
            continue
        name = f"{prefix}{field.name}"
        if _is_list(value):
            yield name, value
        elif is_dataclass(value) and not isinstance(value, Value):
            yield from _rows(value, f"{name}.")
        elif isinstance(value, Mapping) and any(is_dataclass(item) for item in value.values()):
            for key, item in value.items():
                if isinstance(item, Value):
                    yield f"{name}.{key}", item
                else:
                    yield from _rows(item, f"{name}.{key}.")
        elif value not in ("", (), {}):
            yield name, value


def _is_list(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and is_dataclass(value[0]) and not isinstance(value[0], Value)


def _list_table(name: str, parts: Sequence[Any]) -> tuple[Table, list[str]]:
    """One line for each part, errors in the last digits; what is said about a part in words goes below the table."""
    lines = [{field.name: getattr(part, field.name) for field in fields(part)} for part in parts]
    names = [key for key in lines[0] if any(line[key] not in (None, "", (), {}) for line in lines)]
    words = [key for key in names if key in _WORDS]
    columns = [key for key in names if key not in _WORDS]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=name, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold", header_style="bold")
    for line in lines:
        table.add_row(*(Text(_short(line[column])) for column in columns))
    said = [f"{_short(line[columns[0]])}: {_text(line[word])}" for line in lines for word in words if line[word]]
    return table, said


def _short(value: Any) -> str:
    """A value as 2.3459(12): the unit is in the name of its column."""
    if not isinstance(value, Value):
        return _text(value)
    number, _, _ = str(value).partition(f" {value.unit}") if value.unit else (str(value), "", "")
    number, plus_minus, error = number.partition(" ± ")
    if not plus_minus or "e" in number + error:
        return f"{number} ± {error}" if plus_minus else number
    return f"{number}({error.replace('.', '').lstrip('0') or '0'})" if float(error) < 1 else f"{number} ± {error}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(_text(item) for item in value)
    return str(value)


def _origin_lines(report: Report) -> Iterator[str]:
    origin = report.origin
    if origin.sample:
        yield f"sample: {origin.sample}"
    if origin.temperature_K is not None:
        yield f"temperature: {origin.temperature_K} (set point {origin.setpoint_K:g} K)"
    yield f"method: {report.method}"
    for file in origin.files:
        said = ", ".join(f"{key} {value}" for key, value in file.header.items())
        yield f"file: {file.name} (sha256 {file.sha256[:12]}, {file.reader}); {said}"
        yield f"not in the file: {', '.join(file.missing)}"
    if origin.runs:
        named = ", ".join(
            f"{kind} {uid[:8]} ({'applied' if kind in origin.calibration_applied else 'not applied'})"
            for kind, uid in (origin.calibration or {}).items()
        )
        yield f"calibrations: {named or 'none recorded'}"
    yield "computed with: " + ", ".join(f"{name} {version}" for name, version in (origin.analysed_with or {}).items())
