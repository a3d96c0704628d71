"""What a recipe will do, said before it does anything: steps, time, disk, dose."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cryopl_bluesky.analysis.optics import fluence
from cryopl_bluesky.config import Profile
from cryopl_bluesky.devices.instruments import Instruments
from cryopl_bluesky.devices.settle_estimate import SettleEstimate, SettleTime
from cryopl_bluesky.drivers.laser import PowerTable
from cryopl_bluesky.plans.estimate import StepEstimate, estimate_series
from cryopl_bluesky.plans.recipe import Recipe
from cryopl_bluesky.session.progress import duration_text
from cryopl_bluesky.session.rehearsal import rehearsal_instruments


@dataclass(frozen=True)
class Forecast:
    """What a series will take.

    Attributes:
        steps: its steps in their order.
        start_K: temperature before the first one.
        learned: number of settle times of past series that the estimate rests on.
    """

    steps: Sequence[StepEstimate]
    start_K: float
    learned: int

    @property
    def duration_s(self) -> float:
        """From the first set point to the safe end."""
        return sum(step.duration_s for step in self.steps)

    @property
    def disk_bytes(self) -> float:
        """What it will store."""
        return sum(step.disk_bytes for step in self.steps)


def forecast(
    ins: Instruments, profile: Profile, recipe: Recipe, measured: Sequence[SettleTime], done: Collection[str] = (),
    start_K: float | None = None, plate_K: float | None = None,
) -> Forecast:
    """Estimate a recipe with the settle times measured in past series.

    Args:
        ins: instruments to check against, the session's own or those of a rehearsal; nothing moves.
        profile: gives the usual count rate.
        recipe: what to do.
        measured: past settle times, from `catalog.series.settle_times`.
        done: keys of steps that will not be measured again.
        start_K: temperature before the first step; None = as the cryostat shows.
        plate_K: cold plate before the first step; None = as the cryostat shows.

    Raises:
        LimitError: something the instruments cannot do.
    """
    steps = [step for step in recipe.series_steps(ins) if step.key not in done]
    settle = SettleEstimate(ins.cryostat.settle_rules, measured)
    begin_K = float(ins.cryostat.locate()["readback"]) if start_K is None else start_K
    shown_K = float(ins.cryostat.cold_plate_K.get() or begin_K)  # pyright: ignore[reportArgumentType]
    estimates = estimate_series(
        ins, steps, settle, begin_K, shown_K if plate_K is None else plate_K, profile.hbt.typical_rate_Hz
    )
    return Forecast(estimates, begin_K, settle.learned)


def dry_run(
    profile: Profile, recipe: Recipe, folder: Path, console: Console, start_K: float | None = None
) -> Forecast:
    """Check a recipe against the profile without touching its hardware, and print what it will take.

    Args:
        profile: any profile.
        recipe: what to do.
        folder: data folder; its past series give the settle times.
        console: where to print.
        start_K: temperature of the whole cryostat before the night; None = that of the sample in the folder's last
            run, with the cold plate cold.

    Raises:
        LimitError: something the instruments cannot do.
    """
    measured, last_K = _past(folder)
    with rehearsal_instruments(profile) as instruments:
        found = forecast(instruments, profile, recipe, measured, start_K=last_K if start_K is None else start_K,
                         plate_K=start_K)
    console.print(_table(found))
    for line in _summary(profile, recipe, found, folder):
        console.print(line, highlight=False)
    return found


def _past(folder: Path) -> tuple[list[SettleTime], float | None]:
    """Settle times and last temperature of a data folder; nothing when there is no catalog yet."""
    from cryopl_bluesky.catalog.access import NoCatalogError, read_catalog
    from cryopl_bluesky.catalog.series import last_temperature_K, settle_times

    try:
        with read_catalog(folder) as catalog:
            return settle_times(catalog.client), last_temperature_K(catalog.client)
    except NoCatalogError:
        return [], None


def _table(found: Forecast) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_footer=True)
    total = duration_text(found.duration_s)
    for column, footer in (
        ("K", ""), ("step", f"{len(found.steps)} steps"), ("settle", ""), ("moves", ""), ("exposure", ""),
        ("read-out", ""), ("in all", total), ("MB", f"{found.disk_bytes / 1e6:.0f}"),
    ):
        table.add_column(column, footer=footer, justify="left" if column == "step" else "right", no_wrap=True)
    for estimate in found.steps:
        table.add_row(
            f"{estimate.step.temperature_K:g}", estimate.step.plan,
            duration_text(estimate.settle_s) if estimate.settle_s else "", f"{estimate.moves_s:.0f} s",
            duration_text(estimate.exposure_s), f"{estimate.readout_s:.1f} s", duration_text(estimate.duration_s),
            f"{estimate.disk_bytes / 1e6:.0f}",
        )
    return table


def _summary(profile: Profile, recipe: Recipe, found: Forecast, folder: Path) -> list[str]:
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free_bytes = shutil.disk_usage(existing).free
    reserve_MB = profile.disk.reserve_MB
    fits = "it fits" if found.disk_bytes + reserve_MB * 1e6 < free_bytes else "[bold red]it does not fit[/bold red]"
    basis = (f"settle times: {found.learned} measured in past series" if found.learned
             else "settle times: from a model of the cryostat; after the first series from what was measured")
    return [
        f"{recipe.name}: about {duration_text(found.duration_s)} from {found.start_K:.4g} K on; started now, it ends "
        f"about {time.strftime('%a %H:%M', time.localtime(time.time() + found.duration_s))}. {basis}.",
        f"disk: {found.disk_bytes / 1e6:.0f} MB of {free_bytes / 1e6:.0f} MB free in {existing}, "
        f"{reserve_MB:g} MB of which stay in reserve: {fits}.",
        _dose(profile, found),
        "All steps are within the limits of the instruments; nothing was moved.",
    ]


def _dose(profile: Profile, found: Forecast) -> str:
    """Light on the sample, by excitation: the spot does not move during a series."""
    lit: dict[tuple[str, float, float], float] = {}
    for estimate in found.steps:
        excitation = estimate.step.measurement.excitation
        if excitation is not None:
            key = (estimate.step.measurement.path.l1, excitation.repetition_rate_Hz, excitation.intensity_permille)
            lit[key] = lit.get(key, 0.0) + estimate.lit_s
    table = PowerTable([(p.repetition_rate_Hz, p.intensity_permille, p.power_uW) for p in profile.laser.power_table])
    lines = []
    for (l1, rate_Hz, permille), seconds in lit.items():
        line = f"L1 {l1}, {rate_Hz / 1e6:g} MHz, {permille:g} permille: {duration_text(seconds)} of light"
        power_uW = table.power_uW(rate_Hz, permille)
        if power_uW is None:
            line += " (power not in the profile's power_table)"
        elif l1 == "out":
            line += f", {power_uW * seconds * 1e-3:.3g} mJ in the focused spot"
        else:
            spot = profile.microscope
            pulse = fluence(power_uW, rate_Hz, spot.spot_diameter_x_um, spot.spot_diameter_y_um,
                            profile.laser.wavelength_nm, profile.optics.fraction_at_sample)
            dose_J_cm2 = pulse.average_uJ_cm2 * rate_Hz * seconds * 1e-6
            line += (f", {pulse.average_uJ_cm2:.3g} uJ/cm2 a pulse (average over the spot), "
                     f"{dose_J_cm2:.3g} J/cm2 in all")
        lines.append(line)
    return "dose: " + ("; ".join(lines) or "none") + "."
