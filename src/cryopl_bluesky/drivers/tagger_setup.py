"""The Time Tagger's vendor module, its log, and one input's settings."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from typing import Any

from cryopl_bluesky.drivers.errors import NotConnectedError

log = logging.getLogger(__name__)


def import_vendor_module() -> Any:
    """The vendor's Python module, from the package or from the vendor's Windows installer.

    Raises:
        NotConnectedError: neither is installed.
    """
    problems = []
    for name in ("Swabian.TimeTagger", "TimeTagger"):
        try:
            return importlib.import_module(name)
        except ImportError as error:
            problems.append(f"{name}: {error}")
    raise NotConnectedError(
        "hbt",
        f"the Time Tagger's Python module cannot be imported ({'; '.join(problems)})",
        "pip install 'Swabian-TimeTagger>=2.22,<3', or the vendor's installer; there is none for macOS",
    )


@dataclass(frozen=True)
class ChannelSettings:
    """One input as it was read back.

    Attributes:
        channel: number, negative for the falling edge.
        trigger_level_V: trigger level after rounding by the converter.
        dead_time_ps: applied dead time.
        input_delay_ps: applied delay.
    """

    channel: int
    trigger_level_V: float
    dead_time_ps: int
    input_delay_ps: int


def forward_log_line(level: int, message: str) -> None:
    """Send a line of the vendor's log (levels as in `logging`) to ours."""
    log.log(level, "Time Tagger: %s", message)
