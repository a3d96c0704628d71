"""Running a recipe from beginning to end, or what an earlier night left of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bluesky.utils import FailedStatus, RunEngineInterrupted
from rich.console import Console

from cryopl_bluesky.catalog.queries import RunNotFoundError
from cryopl_bluesky.catalog.series import SeriesRecord, load_series, settle_times
from cryopl_bluesky.drivers.errors import InstrumentError
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.plans.steps import SeriesStep
from cryopl_bluesky.session.dry_run import forecast
from cryopl_bluesky.session.progress import SeriesProgress, duration_text
from cryopl_bluesky.session.session import Session

PAUSED = "Paused, the laser is locked. Enter goes on, Ctrl-C ends the night: "


def run_recipe(session: Session, recipe: Recipe, console: Console, resume: str = "") -> SeriesRecord:
    """Run a recipe and show its progress; Ctrl-C pauses it.

    Args:
        session: an open session.
        recipe: what to do.
        console: where the progress is shown.
        resume: the series to go on with: its uid or the begin of it, or "last" for the newest one of this recipe;
            what it has measured successfully is not measured again. "" begins a new series.

    Returns:
        What became of the series.

    Raises:
        RunNotFoundError: there is no series to resume.
        LimitError: something the instruments cannot do; nothing has moved.
        InstrumentError: what ended the night; all runs up to there are kept.
        KeyboardInterrupt: the operator ended it.
    """
    earlier = _series_to_resume(session, recipe, resume) if resume else None
    done = earlier.done_keys if earlier is not None else frozenset()
    if earlier is not None:
        steps = recipe.series_steps(session.instruments)
        for line in changes(earlier, steps):
            console.print(line, highlight=False)
        if all(step.key in done for step in steps):
            return earlier
    # The first series of a folder must not wait until Tiled is imported; there is nothing to learn from anyway.
    known = settle_times(session.cat) if session.folder.has_runs() else []
    expected = forecast(session.instruments, session.profile, recipe, known, done)
    progress = SeriesProgress(
        session.instruments, expected.steps, session.clock, console, lambda: session.interlocks.held_by
    )
    plan = recipe.plan(session.instruments, series_uid=earlier.uid if earlier else "", done=done)
    token = session.RE.subscribe(progress)
    began_s = session.clock.monotonic()
    try:
        _go_on(lambda: session.RE(plan), progress)
        while session.RE.state == "paused":
            _ask_to_go_on(session, console)
            _go_on(session.RE.resume, progress)
    finally:
        session.RE.unsubscribe(token)
    console.print(f"The night took {duration_text(session.clock.monotonic() - began_s)}; "
                  f"{duration_text(expected.duration_s)} were expected.", highlight=False)
    session.catch_up()
    return load_series(session.cat, progress.series_uid)


def changes(earlier: SeriesRecord, steps: Sequence[SeriesStep]) -> list[str]:
    """What resuming will do, and what the recipe says differently from when the series was run last.

    Args:
        earlier: the series that is resumed.
        steps: the steps of the recipe as it is now.
    """
    before, now = {step.key: step for step in earlier.steps}, {step.key for step in steps}
    done = sum(step.key in earlier.done_keys for step in steps)
    lines = [f"series {earlier.uid[:8]}: {done} of {len(steps)} steps are done, {len(steps) - done} are measured now"]
    if added := [step for step in steps if step.key not in before]:
        lines.append("new in the recipe: " + _listed([(step.temperature_K, step.plan) for step in added]))
    if gone := [step for key, step in before.items() if key not in now]:
        lines.append("not in the recipe any more (what was measured is kept): "
                     + _listed([(step.temperature_K, step.plan) for step in gone]))
    return lines


def _listed(steps: Sequence[tuple[float, str]], most: int = 8) -> str:
    named = [f"{plan} at {temperature_K:g} K" for temperature_K, plan in steps[:most]]
    return ", ".join(named) + (f" and {len(steps) - most} more" if len(steps) > most else "")


def _series_to_resume(session: Session, recipe: Recipe, resume: str) -> SeriesRecord:
    session.catch_up()
    try:
        return load_series(session.cat, recipe.name if resume == "last" else resume)
    except RunNotFoundError as error:
        raise RunNotFoundError(f"{error}; run the recipe without --resume, or see `cryopl series`") from None


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
