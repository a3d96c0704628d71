"""Numbers in text files of other programs: columns, decimal commas, what stands before and after them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .contents import FileReadError


@dataclass(frozen=True)
class TextTable:
    """The first block of numeric lines of a text.

    Attributes:
        before: lines above it.
        rows: its numbers, as many in each line.
        after: lines below it.
    """

    before: list[str]
    rows: list[list[float]]
    after: list[str]


def read_table(path: Path) -> TextTable:
    """Find the numbers of a text file: the longest run of lines that hold two numbers or more.

    Raises:
        FileReadError: not a text, or no such lines.
    """
    data = path.read_bytes()
    if b"\0" in data[:4096]:
        raise FileReadError(f"{path.name} is not a text: it holds binary data; is its name right?")
    lines = data.decode("utf-8", errors="replace").splitlines()
    first = next((i for i, line in enumerate(lines) if len(_numbers(line)) >= 2), None)
    if first is None:
        raise FileReadError(
            f"{path.name} holds no columns of numbers; supported texts: Andor .asc, decays with 'Time calibration'"
        )
    rows: list[list[float]] = []
    for line in lines[first:]:
        numbers = _numbers(line)
        if len(numbers) < 2 or (rows and len(numbers) != len(rows[0])):
            break  # the footer, or a line that was cut
        rows.append(numbers)
    return TextTable(lines[:first], rows, lines[first + len(rows) :])


def key_values(lines: list[str]) -> dict[str, str]:
    """What a header or footer says in lines "key: value"; the first of a repeated key counts."""
    found: dict[str, str] = {}
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and value.strip():
            found.setdefault(key.strip(), value.strip())
    return found


def _numbers(line: str) -> list[float]:
    """The numbers of a line, [] if anything else stands in it."""
    if "\t" in line or ";" in line:
        fields = line.replace(";", "\t").replace(",", ".").split("\t")
    elif "," in line and "." not in line and " " in line.strip():
        fields = line.replace(",", ".").split()
    else:
        fields = line.replace(",", " ").split()
    try:
        return [float(field) for field in fields if field.strip()]
    except ValueError:
        return []
