"""A night of which people are told: when it begins, when it fails, and when it is done, with its picture."""

from __future__ import annotations

import logging
from pathlib import Path

from rich.console import Console

from cryopl_bluesky.catalog.series import SeriesRecord
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.session.night import run_recipe
from cryopl_bluesky.session.session import Session

log = logging.getLogger(__name__)


def run_announced(session: Session, recipe: Recipe, console: Console, resume: str = "") -> SeriesRecord:
    """Run a recipe like `run_recipe`, and tell whom the profile names.

    A recipe that is refused, or a night that the operator ends, is nobody's news: somebody sits there. A night in
    which steps failed or were left out counts as failed.

    Args:
        session: an open session.
        recipe: what to do.
        console: where the progress is shown.
        resume: the series to go on with; see `run_recipe`.

    Returns:
        What became of the series.

    Raises:
        InstrumentError: what ended the night; all runs up to there are kept.
        KeyboardInterrupt: the operator ended it.
    """
    recipe.plan(session.instruments).close()
    tell, folder = session.notifier.send, session.folder.root
    temperatures = ", ".join(f"{temperature_K:g}" for temperature_K in recipe.temperatures_K)
    tell("start", f"{recipe.name}: {'resumed' if resume else 'begun'}",
         f"{len(recipe.temperatures_K) * len(recipe.steps)} steps with {recipe.sample.name} at {temperatures} K.")
    try:
        night = run_recipe(session, recipe, console, resume)
    except Exception as error:
        tell("failure", f"{recipe.name}: failed",
             f"{error}\nThe laser is locked; what was recorded is kept in {folder}.")
        raise
    how = "done" if night.complete else "failure"
    if session.notifier.wants(how):
        title = f"{recipe.name}: {'done' if night.complete else 'ended, but not complete'}"
        text = f"{night.count('done')} of {len(night.steps)} steps are in {folder}, {night.count('failed')} failed."
        tell(how, title, text, _picture(session, night))
    return night


def _picture(session: Session, night: SeriesRecord) -> Path | None:
    """Draw the night into the data folder; None if that fails, because the message matters more."""
    from cryopl_bluesky.catalog.load import load_target
    from cryopl_bluesky.figures.night import save_figure
    from cryopl_bluesky.figures.runs import draw_series

    path = session.folder.root / f"night-{night.uid[:8]}.png"
    try:
        save_figure(draw_series(load_target(session.cat, night.uid)), path)
    except Exception as error:  # noqa: BLE001 - whatever a figure finds wrong with the data, the night is over
        log.warning("the night's picture cannot be drawn, the message goes without: %s", error)
        return None
    return path
