"""Settings files: TOML in, validated and typed settings out.

A typo is an error with its line, never a silent default.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Model = TypeVar("Model", bound=BaseModel)
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class ConfigError(ValueError):
    """A settings file that cannot be used; the text names file, line, key, value and remedy.

    Args:
        source: the file's name.
        problems: (line, message) pairs; line 0 when it is not known.
    """

    def __init__(self, source: str, problems: list[tuple[int, str]]):
        self.source, self.problems = source, problems
        lines = [f"{source}, line {line}: {text}" if line else f"{source}: {text}" for line, text in problems]
        super().__init__("\n".join(lines))


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def load_toml(path: Path, model: type[Model]) -> Model:
    """Load a TOML file as `model`.

    Raises:
        ConfigError: not readable, not TOML, or not what `model` says; with the lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), [(0, f"cannot be read: {error}")]) from error
    return parse_toml(text, model, str(path))


def parse_toml(text: str, model: type[Model], source: str) -> Model:
    """Parse TOML text as `model`; `source` names it in errors.

    Raises:
        ConfigError: not TOML, or not what `model` says; with the lines.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise ConfigError(source, [(int(found[1]) if found else 0, f"not valid TOML: {error}")]) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = dict(_lines_by_key(text))
        problems = [_problem(detail, model, lines) for detail in error.errors()]
        raise ConfigError(source, problems) from error


def describe_problems(error: ValidationError, model: type[BaseModel]) -> str:
    """Say in plain words what a validation found: name, value, limit, remedy."""
    return "; ".join(_problem(detail, model, {})[1] for detail in error.errors())


def _problem(detail: Any, model: type[BaseModel], lines: dict[tuple[str, ...], int]) -> tuple[int, str]:
    location = tuple(str(part) for part in detail["loc"])
    key = location[-1] if location else "?"
    if key.isdigit() and len(location) > 1:
        key = f"{location[-2]}[{key}]"
    if detail["type"] == "extra_forbidden":
        known = [part for part in _known_keys(model, location[:-1])]
        near = difflib.get_close_matches(key, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'none'}"
        text = f"unknown key {key!r}; {remedy}"
    elif detail["type"] == "missing":
        text = f"{'.'.join(location)} is missing"
    elif detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        tag = context["tag"]
        known = [name.strip(" '") for name in context["expected_tags"].split(",")]
        near = difflib.get_close_matches(tag, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
        discriminator = context["discriminator"].strip("'")
        location = (*location, discriminator)
        text = f"{discriminator}={tag!r} does not exist; {remedy}"
    else:
        # A URL may hold a password.
        value = "'...'" if "://" in str(detail["input"]) else repr(detail["input"])
        text = f"{key}={value}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
    return _line_of(location, lines), text


def _line_of(location: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> int:
    # pydantic puts the tag of a step behind its index, ("steps", "1", "g2", "exposure_s"): not a key of the file.
    parts = [part for i, part in enumerate(location) if not (i and location[i - 1].isdigit())
             or (*location[: i - 1], location[i - 1], part) in lines]
    for path in (location, tuple(parts)):
        if path in lines:
            return lines[path]
    return _line_of(location[:-1], lines) if len(location) > 1 else 0


def _known_keys(model: Any, location: tuple[str, ...]) -> list[str]:
    models = list(_models(model))
    for part in location:
        fields = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        narrowed = [inner for annotation in fields for inner in _models(annotation)]
        tagged = [m for m in models if _tag(m) == part]
        models = narrowed or tagged or models
    return sorted({name for m in models for name in m.model_fields})


def _tag(model: type[BaseModel]) -> str | None:
    plan = model.model_fields.get("plan")
    return get_args(plan.annotation)[0] if plan is not None and get_args(plan.annotation) else None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (list, dict, tuple, Union, UnionType, Annotated):
        for inner in get_args(annotation):
            yield from _models(inner)


def _lines_by_key(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where each key stands: (path of keys and list indices, line number from 1)."""
    table: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[\[\s*([^\]]+?)\s*\]\]", line):
            counts[found[1]] = counts.get(found[1], -1) + 1
            table = (*found[1].split("."), str(counts[found[1]]))
            yield table, number
        elif found := re.match(r"\s*\[\s*([^\]]+?)\s*\]\s*(#.*)?$", line):
            table = tuple(part.strip(" \"'") for part in found[1].split("."))
            yield table, number
        elif found := re.match(r"\s*([A-Za-z0-9_\-\"'.]+)\s*=", line):
            yield (*table, *(part.strip("\"'") for part in found[1].split("."))), number
