"""The standard analysis of a run, a series or a file: numbers with errors, units and where they are from.

    >>> from cryopl_bluesky.catalog.load import load_measurement          # doctest: +SKIP
    >>> report = analyse_run(load_measurement(find_run(cat, "last")))     # doctest: +SKIP
    >>> print(report.decay.tau_int_ns)                                    # doctest: +SKIP
    3.987 ± 0.013 ns

`analyse_run`, `analyse_series` and `analyse_file` return a report: a small frozen dataclass whose `to_dict()` is what
`cryopl analyse --json` prints. The modules hold one kind of measurement each.
"""

from __future__ import annotations

from .analyse import analyse_run, analyse_series, load_for_analysis, save_report
from .calibrated import load_calibrations
from .file_analysis import analyse_file
from .results import Origin, Report, Value

__all__ = [
    "Origin",
    "Report",
    "Value",
    "analyse_file",
    "analyse_run",
    "analyse_series",
    "load_calibrations",
    "load_for_analysis",
    "save_report",
]
