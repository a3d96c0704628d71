"""Column types that hold for a whole run.

Tiled's table takes the type of a column from its first batch of rows; a value of another type later on is
refused and would leave the run incomplete. So floats are made floats from the first row on, and a column
announced as integer that turns out not to be one makes the run be written again with that column as float.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


class NotAnIntegerError(ValueError):
    """A column announced as integer got something else; the run has to be written again.

    Args:
        key: data key of the column.
        value: the value that did not fit.
    """

    def __init__(self, key: str, value: object):
        self.key = key
        super().__init__(f"{key} was announced as integer and is now {value!r}")


class ColumnTypes:
    """Patches for `TiledWriter` that keep scalar columns to one type.

    Args:
        float_keys: data keys to store as float although they were announced as integer.
    """

    def __init__(self, float_keys: frozenset[str] = frozenset()):
        self._float_keys = float_keys
        self._floats: dict[str, list[str]] = {}
        self._integers: dict[str, list[str]] = {}

    @property
    def patches(self) -> dict[str, Any]:
        """The argument `patches=` of `TiledWriter`."""
        return {"descriptor": self._descriptor, "event": self._event}

    def _descriptor(self, document: Document) -> Document:
        floats: list[str] = []
        integers: list[str] = []
        for key, spec in document["data_keys"].items():
            if "external" in spec:
                continue
            if spec["dtype"] == "number" or (spec["dtype"] == "integer" and key in self._float_keys):
                spec["dtype"] = "number"
                spec["dtype_numpy"] = "<f8"
                floats.append(key)
            elif spec["dtype"] == "integer":
                integers.append(key)
        self._floats[document["uid"]] = floats
        self._integers[document["uid"]] = integers
        return document

    def _event(self, document: Document) -> Document:
        data = document["data"]
        for key in self._floats.get(document["descriptor"], ()):
            if key in data:
                data[key] = float("nan") if data[key] is None else float(data[key])
        for key in self._integers.get(document["descriptor"], ()):
            if key in data and not isinstance(data[key], int):
                raise NotAnIntegerError(key, data[key])
        return document
