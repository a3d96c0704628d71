"""Running a recipe from beginning to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bluesky.utils import FailedStatus, RunEngineInterrupted
from rich.console import Console

from cryopl_bluesky.catalog.access import CatalogUnreachableError
from cryopl_bluesky.catalog.load import RunData, load_measurement
from cryopl_bluesky.catalog.queries import series_runs
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.session.progress import SeriesProgress
from cryopl_bluesky.session.session import DELIVERY_TIMEOUT_S, Session

PAUSED = "Paused, the laser is locked. Enter goes on, Ctrl-C ends the night: "


def run_recipe(session: Session, recipe: Recipe, console: Console) -> Sequence[RunData]:
    """Run a recipe and show its progress; Ctrl-C pauses it.

    Args:
        session: an open session.
        recipe: what to do.
        console: where the progress is shown.

    Returns:
        The runs of the series, read back from the catalog.

    Raises:
        InstrumentError: what ended the night; all runs up to there are kept.
        KeyboardInterrupt: the operator ended it.
    """
    plan = recipe.plan(session.instruments)
    total = len(recipe.temperatures_K) * len(recipe.steps)
    progress = SeriesProgress(session.instruments, total, console)
    token = session.RE.subscribe(progress)
    try:
        _go_on(lambda: session.RE(plan), progress)
        while session.RE.state == "paused":
            _ask_to_go_on(session, console)
            _go_on(session.RE.resume, progress)
    finally:
        session.RE.unsubscribe(token)
    if not session.feeder.wait_until_delivered(DELIVERY_TIMEOUT_S):
        raise CatalogUnreachableError(f"the catalog is behind: {session.feeder.status()}; all is in the journal")
    return [load_measurement(run) for run in series_runs(session.cat, progress.series_uid)]


def _go_on(engine_call: Callable[[], object], progress: SeriesProgress) -> None:
    """Run until the end or a pause; a failed instrument raises its own error instead of the engine's."""
    try:
        with progress.live():
            engine_call()
    except RunEngineInterrupted:
        return
    except FailedStatus as error:
        if isinstance(error.__cause__, InstrumentError):
            raise error.__cause__ from error
        raise


def _ask_to_go_on(session: Session, console: Console) -> None:
    try:
        console.input(PAUSED)
    except (KeyboardInterrupt, EOFError):
        session.RE.abort("ended by the operator")
        raise KeyboardInterrupt from None
