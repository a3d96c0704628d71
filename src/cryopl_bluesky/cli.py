"""The `cryopl` command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from cryopl_bluesky.session import Session

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help="Run a cryogenic photoluminescence microscope, and find what it measured.")
console = Console()
errors = Console(stderr=True)

ProfileOption = Annotated[str, typer.Option("--profile", help="sim, lab, or the path of a profile.toml")]
DataOption = Annotated[Path | None, typer.Option("--data", help="folder of the data")]

DEMO_FOLDER = Path("cryopl-demo")
DEFAULT_FOLDER = Path("cryopl-data")


def main() -> None:
    """Entry point: users' mistakes and instrument faults become one message, not a traceback."""
    from cryopl_bluesky.analysis import AnalysisError
    from cryopl_bluesky.catalog.access import CatalogMovedError, CatalogUnreachableError, NoCatalogError
    from cryopl_bluesky.drivers.errors import InstrumentError
    from cryopl_bluesky.files import FileReadError
    from cryopl_bluesky.settings_file import ConfigError

    try:
        app()
    except (ConfigError, InstrumentError, NoCatalogError, CatalogUnreachableError, CatalogMovedError, AnalysisError,
            FileReadError, LookupError) as error:
        text = error.args[0] if isinstance(error, LookupError) and error.args else error
        errors.print(f"[bold red]error:[/bold red] {text}", highlight=False)
        logging.getLogger(__name__).debug("details", exc_info=True)
        sys.exit(1)


@contextmanager
def _session(profile: str, data: Path | None) -> Iterator[Session]:
    """Open a session, or say which instruments are missing and how to get them."""
    from cryopl_bluesky.config import load_profile
    from cryopl_bluesky.session import ConnectionFailedError, Session

    settings = load_profile(profile)
    try:
        with console.status("connecting the instruments ..."):
            session = Session(settings, _folder(profile, data))
    except ConnectionFailedError as error:
        table = Table("instrument", "problem", "what to do", title=f"profile {profile}: not all instruments answer")
        for problem in error.problems:
            table.add_row(problem.instrument, problem.problem, problem.remedy)
        errors.print(table)
        raise typer.Exit(1) from error
    with session:
        _log_to(session.folder.root / "cryopl.log")
        for report in session.guard_reports:
            errors.print(str(report), style="bold red" if report.problems else "", highlight=False, markup=False)
        for run in session.recovered:
            console.print(f"run {run.uid[:8]} of an earlier session was interrupted; it is closed now and kept")
        try:
            yield session
        except KeyboardInterrupt:
            errors.print("Ended by the operator. The laser is locked; what was recorded is kept.")
            raise typer.Exit(130) from None


def _folder(profile: str, data: Path | None) -> Path:
    """The data folder: as asked for, else the profile's, else `cryopl-data` here."""
    from cryopl_bluesky.config import load_profile

    return data or Path(load_profile(profile).data_dir or DEFAULT_FOLDER)


def _log_to(path: Path) -> None:
    logging.basicConfig(filename=path, level=logging.INFO, force=True,
                        format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)


@app.command()
def demo(
    profile: ProfileOption = "sim",
    data: Annotated[Path, typer.Option("--data", help="folder of the data")] = DEMO_FOLDER,
) -> None:
    """A night at five temperatures in the virtual lab, and its picture: night.png."""
    from importlib.resources import as_file, files

    from cryopl_bluesky.catalog.load import load_target
    from cryopl_bluesky.figures.night import save_figure
    from cryopl_bluesky.figures.runs import draw_series
    from cryopl_bluesky.plans.recipe import load_recipe
    from cryopl_bluesky.session.night import run_recipe

    with as_file(files("cryopl_bluesky") / "profiles" / "sim" / "demo.toml") as path:
        recipe = load_recipe(path)
    with _session(profile, data) as session:
        night = run_recipe(session, recipe, console)
        console.print("drawing the night ...")
        picture = data / "night.png"
        save_figure(draw_series(load_target(session.cat, night.uid)), picture)
    console.print(f"The night is in [bold]{data}[/bold], its picture is [bold]{picture}[/bold].")
    console.print(f"Look around with: cryopl runs --data {data}")


@app.command()
def session(profile: ProfileOption = "sim", data: DataOption = None) -> None:
    """An IPython prompt with RE, cat, the devices and the plans."""
    from cryopl_bluesky.session.prompt import start_prompt

    with _session(profile, data) as opened:
        start_prompt(opened)


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="recipe file (TOML)")],
    profile: ProfileOption = "sim",
    data: DataOption = None,
    resume: Annotated[
        str, typer.Option("--resume", help="series to go on with: start of its uid, or 'last' of this recipe")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what it will do and take; nothing moves")
    ] = False,
    from_K: Annotated[
        float | None, typer.Option("--from-K", help="for --dry-run: temperature before the night; else the last run's")
    ] = None,
) -> None:
    """Run a recipe: settle at each temperature and measure all its steps."""
    from cryopl_bluesky.config import load_profile
    from cryopl_bluesky.plans.recipe import load_recipe

    loaded = load_recipe(recipe)
    if dry_run:
        from cryopl_bluesky.session.dry_run import dry_run as say_what_it_takes

        say_what_it_takes(load_profile(profile), loaded, _folder(profile, data), console, from_K)
        return
    from cryopl_bluesky.session.announce import run_announced

    with _session(profile, data) as opened:
        night = run_announced(opened, loaded, console, resume)
        folder = opened.folder.root
    console.print(f"{night.count('done')} of {len(night.steps)} steps of series {night.uid[:8]} are in "
                  f"[bold]{folder}[/bold]; draw them with: cryopl show {night.uid[:8]} --png night.png --data {folder}")
    if not night.complete:
        errors.print(f"[bold red]not complete:[/bold red] {night.count('failed')} steps failed, "
                     f"{night.count('missing')} were not begun (cryopl series {night.uid[:8]} --data {folder} says "
                     f"why); measure them with: cryopl run {recipe} --resume {night.uid[:8]} --data {folder}")
        raise typer.Exit(1)


@app.command()
def series(
    target: Annotated[str, typer.Argument(help="start of a uid, name of a recipe, or 'last'; none = list them")] = "",
    profile: ProfileOption = "sim",
    data: DataOption = None,
) -> None:
    """List series, or the steps of one: done, failed (and why) or missing."""
    from cryopl_bluesky.catalog.access import read_catalog
    from cryopl_bluesky.catalog.series import list_series, load_series
    from cryopl_bluesky.session.tables import series_table, steps_table

    with read_catalog(_folder(profile, data)) as catalog:
        if target:
            console.print(steps_table(load_series(catalog.client, target)))
        else:
            console.print(series_table(list_series(catalog.client)))


@app.command()
def optics(
    profile: ProfileOption = "sim",
    as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Magnification, field, sampling, spot, fluence and dispersion of a profile, and whether they fit together."""
    from cryopl_bluesky.config import load_profile
    from cryopl_bluesky.session.optics_report import optics_report

    report = optics_report(load_profile(profile))
    if as_json:
        console.print_json(data=report.record())
    else:
        report.print(console)
    if report.errors:
        errors.print(f"[bold red]{report.errors} check(s) failed[/bold red]")
        raise typer.Exit(1)


@app.command()
def notify_test(profile: ProfileOption = "sim") -> None:
    """Send a test message to every service in the profile's section [notify]."""
    from cryopl_bluesky.config import load_profile
    from cryopl_bluesky.supervision.notify import Notifier

    results = Notifier(load_profile(profile).notify).test()
    if not results:
        console.print(f"profile {profile} names no services: add urls to its section \\[notify]")
    for service, problem in results.items():
        console.print(f"service {service}: {problem or 'sent'}", highlight=False)
    if any(results.values()):
        raise typer.Exit(1)


@app.command()
def runs(
    profile: ProfileOption = "sim",
    data: DataOption = None,
    number: Annotated[int, typer.Option("--number", "-n", help="how many, newest last")] = 40,
) -> None:
    """List what was measured."""
    from cryopl_bluesky.catalog.access import read_catalog
    from cryopl_bluesky.catalog.queries import runs_table

    with read_catalog(_folder(profile, data)) as catalog:
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("scan", "uid", "started", "measurement", "K", "sample", "series", "events", "ended"):
            table.add_column(column, no_wrap=column not in ("sample", "series"), overflow="ellipsis")
        for row in reversed(runs_table(catalog.client, number)):
            table.add_row(
                str(row.scan_id), row.uid[:8], f"{datetime.fromtimestamp(row.time):%m-%d %H:%M}", row.measurement,
                "" if row.temperature_K is None else f"{row.temperature_K:g}", row.sample, row.series,
                str(row.num_events), row.exit_status,
            )
    console.print(table)


@app.command()
def show(
    target: Annotated[str, typer.Argument(help="run or series: start of its uid, a scan number, or 'last'")],
    png: Annotated[Path, typer.Option("--png", help="picture to write")],
    profile: ProfileOption = "sim",
    data: DataOption = None,
) -> None:
    """Draw a run or a whole series from the catalog."""
    from cryopl_bluesky.catalog.access import read_catalog
    from cryopl_bluesky.catalog.load import load_target
    from cryopl_bluesky.figures.night import save_figure
    from cryopl_bluesky.figures.runs import draw_run, draw_series

    with read_catalog(_folder(profile, data)) as catalog:
        found = load_target(catalog.client, target)
        figure = draw_run(found[0]) if len(found) == 1 else draw_series(found)
        save_figure(figure, png)
    console.print(f"drawn: {png}")


@app.command()
def analyse(
    target: Annotated[str, typer.Argument(
        help="run or series: start of its uid, a scan number, a recipe's name, or 'last'; or a file: .ptu, .sif, .asc, "
             "a decay as text (.txt, .dat, .csv)"
    )],
    as_json: Annotated[bool, typer.Option(
        "--json", help="print JSON alone, for other programs; no picture unless --png names one"
    )] = False,
    png: Annotated[Path | None, typer.Option(
        "--png", help="picture to write; without it NAME.analysis.png in the current folder"
    )] = None,
    no_png: Annotated[bool, typer.Option("--no-png", help="write no picture")] = False,
    irf: Annotated[Path | None, typer.Option("--irf", help="for a decay file: measured response as text")] = None,
    period_ns: Annotated[float | None, typer.Option(
        "--period-ns", help="for a decay file or a T2 file: laser period; a T2 file's is found without it"
    )] = None,
    rho: Annotated[tuple[float, float] | None, typer.Option(
        "--rho", help="for g2: signal fraction of SPAD 1 and of SPAD 2, to correct for background"
    )] = None,
    save: Annotated[bool, typer.Option(
        "--save", help="keep the result in the catalog, as a run that is linked to its sources"
    )] = False,
    recover: Annotated[bool, typer.Option(
        "--recover", help="take what is there of a file that ends too early; the result carries a warning"
    )] = False,
    profile: ProfileOption = "sim",
    data: DataOption = None,
) -> None:
    """Analyse a run, a series or a file: numbers with errors, units and where they are from, and the picture."""
    from cryopl_bluesky.session.analysing import analyse_target

    report = analyse_target(target, lambda: _folder(profile, data), irf=irf, period_ns=period_ns, rho=rho,
                            recover=recover)
    if as_json:
        import json

        print(json.dumps(report.to_dict(), indent=1, allow_nan=False, ensure_ascii=False))
    else:
        from cryopl_bluesky.session.report_table import print_report

        print_report(report, console)
    if save:
        from cryopl_bluesky.reports import save_report

        uid = save_report(_folder(profile, data), report)
        (errors if as_json else console).print(f"kept as run {uid[:8]}")
    if png is None and not (as_json or no_png or report.data is None):
        png = Path(f"{Path(target).name}.analysis.png")
    if png is not None:
        from cryopl_bluesky.figures.style import save_figure
        from cryopl_bluesky.reports.pictures import draw_report

        save_figure(draw_report(report), png)
        if not as_json:
            console.print(f"picture: {png}")
