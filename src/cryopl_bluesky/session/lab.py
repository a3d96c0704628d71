"""Where a session's time and its vendors' libraries come from: the computer, or the virtual lab of the profile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryopl_bluesky.clock import Clock, SystemClock
from cryopl_bluesky.config import Profile
from cryopl_bluesky.drivers.vendors import Vendors

if TYPE_CHECKING:
    from cryopl_bluesky.sim.lab import VirtualLab


@dataclass(frozen=True)
class Lab:
    """What the drivers stand on; close it, or use it as a context manager.

    Attributes:
        clock: the time of the session.
        vendors: where the drivers get their vendors' libraries from.
        virtual: the virtual lab when the profile has a bench, else None.
    """

    clock: Clock
    vendors: Vendors
    virtual: VirtualLab | None = None

    def close(self) -> None:
        """Take the virtual lab away again."""
        if self.virtual is not None:
            self.virtual.uninstall()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def open_lab(profile: Profile, memory: Path | None = None) -> Lab:
    """The lab of a profile.

    Args:
        profile: has a bench, or does not.
        memory: file in which a virtual lab keeps how it was left, as a real one does; None: it begins as new.
    """
    if profile.bench is None:
        return Lab(SystemClock(), Vendors())
    from cryopl_bluesky.sim.lab import VirtualLab

    virtual = VirtualLab(profile.bench, memory)
    return Lab(virtual.clock, virtual.install(), virtual)
