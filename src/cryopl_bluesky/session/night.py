"""Running a recipe from beginning to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bluesky.utils import RunEngineInterrupted
from rich.console import Console

from cryopl_bluesky.catalog.load import RunData, load_measurement
from cryopl_bluesky.catalog.queries import series_runs
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.session.progress import SeriesProgress
from cryopl_bluesky.session.session import DELIVERY_TIMEOUT_S, Session

PAUSED = "Paused, the laser is locked. Enter goes on, Ctrl-C ends the night: "


def run_recipe(session: Session, recipe: Recipe, console: Console) -> Sequence[RunData]:
    """Run a recipe and show its progress.

    Args:
        session: an open session.
        recipe: what to do.
        console: where the progress is shown.

    Returns:
        The runs of the series, read back from the catalog.

    Raises:
        InstrumentError: what ended the night; all runs up to there are kept.
    """
    plan = recipe.plan(session.instruments)
    total = len(recipe.temperatures_K) * len(recipe.steps)
    progress = SeriesProgress(session.instruments, total, console)
    token = session.RE.subscribe(progress)
    try:
        with progress.live():
            _run_to_end(session, plan, progress, console)
    finally:
        session.RE.unsubscribe(token)
    if not session.feeder.wait_until_delivered(DELIVERY_TIMEOUT_S):
        raise LookupError(f"the catalog is behind: {session.feeder.status()}; everything is in the journal")
    return [load_measurement(run) for run in series_runs(session.cat, progress.series_uid)]


def _run_to_end(session: Session, plan, progress: SeriesProgress, console: Console) -> None:
    try:
        session.RE(plan)
    except RunEngineInterrupted:
        while session.RE.state == "paused":
            try:
                console.input(PAUSED)
            except (KeyboardInterrupt, EOFError):
                session.RE.abort("ended by the operator")
                raise
            try:
                session.RE.resume()
            except RunEngineInterrupted:
                continue
