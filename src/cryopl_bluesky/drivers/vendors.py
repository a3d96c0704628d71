"""Where the drivers get their vendors' libraries from.

A driver never looks a library up by itself: the session hands it one of these. `Vendors()` is the installed
software of the instrument makers; another set of the same shape can stand in its place. The Andor libraries
are not here, because pylablib looks them up on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _timetagger() -> Any:
    from cryopl_bluesky.drivers.timetagger import import_vendor_module

    return import_vendor_module()


def _sepia2(path: str) -> Any:
    from cryopl_bluesky.drivers.sepia2 import load_vendor_library

    return load_vendor_library(path)


def import_now() -> None:
    """Import what the drivers of the light path import at their first use (a second), for who must be quick then."""
    from pylablib.devices import Andor  # noqa: F401


@dataclass(frozen=True)
class Vendors:
    """One entry per vendor boundary.

    Attributes:
        timetagger: returns the vendor's module (`Swabian.TimeTagger`).
        sepia2: takes the library's path ("" = search) and returns an object with the `SEPIA2_*` functions.
        flip_mount: takes a serial number and returns what `pylablib`'s `Thorlabs.MFF` accepts as `conn`.
        attodry: takes host and port of the profile and returns the address to connect to.
    """

    timetagger: Callable[[], Any] = _timetagger
    sepia2: Callable[[str], Any] = _sepia2
    flip_mount: Callable[[str], Any] = str
    attodry: Callable[[str, int], tuple[str, int]] = lambda host, port: (host, port)
