"""One document as one line of JSON, and back, without changing a number.

orjson does the work. Two kinds of value need Python's own `json`: NaN and infinity (orjson would write
`null`) and integers beyond 64 bit (orjson refuses).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

Document = dict[str, Any]
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def encode(name: str, document: Mapping[str, Any]) -> bytes:
    """The line (with its newline) that stands for a document in a journal.

    Args:
        name: kind of document, for example `event`.
        document: the document; numpy arrays and scalars allowed anywhere.
    """
    record = {"name": name, "doc": document}
    if _all_finite(document):
        try:
            return orjson.dumps(record, default=plain, option=_OPTIONS) + b"\n"
        except TypeError:  # an integer beyond 64 bit
            return json.dumps(record, default=plain).encode() + b"\n"
    return json.dumps(record, default=plain).encode() + b"\n"


def decode(line: bytes) -> tuple[str, Document]:
    """Name and document of a line.

    Raises:
        ValueError: the line is not a whole document.
    """
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = json.loads(line)  # knows NaN and Infinity
    if not isinstance(record, dict) or not {"name", "doc"} <= record.keys():
        raise ValueError("not a document: the keys 'name' and 'doc' are missing")
    return record["name"], record["doc"]


def plain(value: object) -> object:
    """What stands in JSON for a value that JSON does not know."""
    if isinstance(value, np.ndarray):  # not contiguous, or of a type orjson does not know
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def _all_finite(value: object) -> bool:
    """Whether no float inside is NaN or infinite."""
    if isinstance(value, float | np.floating):
        return math.isfinite(value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind not in "fc" or bool(np.isfinite(value).all())
    if isinstance(value, Mapping):
        return all(_all_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_all_finite(item) for item in value)
    return True
