"""The standard analysis of a file of another program."""

from __future__ import annotations

from pathlib import Path

from cryopl_bluesky.analysis import AnalysisError
from cryopl_bluesky.files import DecayFile, FramesFile, read_file
from cryopl_bluesky.files.reading import TIME_LIMIT_S
from cryopl_bluesky.reports.correlations import SignalFractions
from cryopl_bluesky.reports.decay_files import report_decay_file
from cryopl_bluesky.reports.frames_files import report_frames_file
from cryopl_bluesky.reports.photon_files import report_photon_file
from cryopl_bluesky.reports.results import Report


def analyse_file(
    path: str | Path,
    *,
    irf: str | Path | None = None,
    period_ns: float | None = None,
    fit_bins: tuple[int, int] | None = None,
    side_peaks: int | None = None,
    rho: SignalFractions | None = None,
    rho_err: SignalFractions = (0.0, 0.0),
    recover: bool = False,
    time_limit_s: float = TIME_LIMIT_S,
) -> Report:
    """The standard analysis of a .ptu, .sif or .asc file, or of a decay as text.

    Args:
        path: of the file.
        irf: measured instrument response as text, for decays.
        period_ns: laser period, for decays and for T2 files; None: a single pulse, or found from the photons.
        fit_bins: channels to fit, for decays with a response.
        side_peaks: highest |k| of the side peaks of g2, for photons.
        rho: signal fractions of the two detectors, for photons.
        rho_err: their errors.
        recover: take what is there of a file that ends too early.
        time_limit_s: for reading each file, real seconds.

    Returns:
        A `PhotonFileReport`, `FramesFileReport` or `DecayFileReport`.

    Raises:
        FileReadError: a file that cannot be read.
        AnalysisError: an argument that does not belong to this kind of file, or data without the numbers sought.
    """
    content = read_file(path, recover=recover, time_limit_s=time_limit_s)
    name = content.facts.name
    if isinstance(content, DecayFile):
        _refuse(name, "a decay", side_peaks=side_peaks, rho=rho)
        response = None if irf is None else read_file(irf, time_limit_s=time_limit_s)
        if response is not None and not isinstance(response, DecayFile):
            raise AnalysisError(f"{response.facts.name} is no instrument response as text; give irf such a file.")
        return report_decay_file(content, response, period_ns=period_ns, fit_bins=fit_bins)
    if isinstance(content, FramesFile):
        _refuse(name, "an image or spectrum", irf=irf, period_ns=period_ns, fit_bins=fit_bins,
                side_peaks=side_peaks, rho=rho)  # fmt: skip
        return report_frames_file(content)
    _refuse(name, "a file of photons", irf=irf, fit_bins=fit_bins)
    return report_photon_file(content, period_ns=period_ns, side_peaks=side_peaks, rho=rho, rho_err=rho_err)


def _refuse(name: str, kind: str, **given: object) -> None:
    wrong = [argument for argument, value in given.items() if value is not None]
    if wrong:
        raise AnalysisError(f"{name} is {kind}: {', '.join(wrong)} cannot be used with it; leave it out.")
