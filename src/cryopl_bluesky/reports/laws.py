"""A fitted law as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryopl_bluesky.analysis.temperature_fits import LawFit
from cryopl_bluesky.reports.results import Value

_UNITS = (("_eV_K", "eV/K"), ("_eV", "eV"), ("_K", "K"), ("_ns", "ns"))
"""Units by the end of a parameter's name; the longer ones first."""


@dataclass(frozen=True)
class Law:
    """A law fitted to a series.

    Attributes:
        quantity: what it describes, for example "peak_eV".
        law: its name.
        formula: as text.
        parameters: by name; those that were held have the error None.
        undetermined: parameters that the data do not determine: do not quote them.
        reduced_chi2: of the fit.
        p_value: chance that a true law fits worse.
        good: whether the law describes the data and its parameters are determined.
        method: how it was fitted.
        notes: what a reader must know, correlated parameters above all.
    """

    quantity: str
    law: str
    formula: str
    parameters: Mapping[str, Value]
    undetermined: tuple[str, ...]
    reduced_chi2: float
    p_value: float
    good: bool
    method: str
    notes: tuple[str, ...]


def law_of(quantity: str, fit: LawFit) -> Law:
    """A fit of a law as values."""
    parameters = {
        name: Value(float(value), float(fit.errors[name]) if name in fit.free else None, _unit(name))
        for name, value in fit.values.items()
    }
    return Law(
        quantity, fit.law, fit.formula, parameters, tuple(fit.undetermined), fit.reduced_chi2, fit.p_value, fit.good,
        fit.method, tuple(fit.notes),
    )  # fmt: skip


def _unit(name: str) -> str:
    return next((unit for end, unit in _UNITS if name.endswith(end)), "")
