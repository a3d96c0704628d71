"""Pictures of runs and series as the catalog holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cryopl_bluesky.figures import night
from cryopl_bluesky.figures._data import G2
from cryopl_bluesky.figures.fits import g2_by_blocks
from cryopl_bluesky.figures.g2 import draw_g2
from cryopl_bluesky.figures.run_data import (
    CONVERT,
    RunLike,
    channel_delay,
    decay,
    g2,
    mean_frame,
    picture,
    spectral_map,
    temperatures,
    trpl_map,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "NotDrawableError",
    "RunLike",
    "channel_delay",
    "decay",
    "draw_run",
    "draw_series",
    "g2",
    "mean_frame",
    "picture",
    "spectral_map",
    "temperatures",
    "trpl_map",
]


class NotDrawableError(LookupError):
    """There is no figure for this kind of run, or it holds no events."""


def draw_run(run: RunLike) -> Figure:
    """The picture of one run.

    Raises:
        NotDrawableError: no figure for this measurement, or no events.
    """
    measurement = run.start.get("measurement", run.start.get("plan_name"))
    if measurement not in CONVERT:
        raise NotDrawableError(f"there is no figure for {measurement!r}; there is one for {', '.join(CONVERT)}")
    if not run.data:
        raise NotDrawableError(f"run {run.start['uid'][:8]} ({measurement}) holds no events")
    data = CONVERT[measurement](run)
    figure = draw_g2(data, g2_by_blocks(run, data)) if isinstance(data, G2) else night.draw_run(measurement, data)
    figure.suptitle(f"{measurement} at {run.start['temperature_K']:g} K, scan {run.start['scan_id']}")
    return figure


def draw_series(runs: Sequence[RunLike]) -> Figure:
    """The picture of a night.

    Raises:
        NotDrawableError: no run of the series has a panel.
    """
    found = temperatures(runs)
    if not found:
        raise NotDrawableError("none of these runs has a picture; look at them with `cryopl runs`")
    start = runs[0].start
    sample = (start.get("sample") or {}).get("name", "")
    recipe = (start.get("series") or {}).get("recipe", "")
    return night.draw_night(found, ", ".join(part for part in (sample, recipe) if part))
