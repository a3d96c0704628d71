"""PicoQuant .ptu: photons in T2 or T3 mode."""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .contents import FileFacts, FileReadError, PhotonFile

MAGIC = b"PQTTTR"
_HEADER = {
    "CreatorSW_Name": "program", "HW_Type": "instrument", "HW_SerialNo": "serial", "File_CreatingTime": "created",
    "MeasDesc_AcquisitionTime": "acquisition_time_ms", "HWSync_Divider": "sync_divider",
    # A snapshot when the measurement began, not a mean.
    "TTResult_SyncRate": "sync_rate_Hz",
}  # fmt: skip


def read_ptu(path: Path, facts: FileFacts, recover: bool) -> PhotonFile:
    """Read the photons of a .ptu file.

    Overflow records and markers (channel -1) are dropped. In T3 mode the laser period is the header's
    `global_resolution`, in which a divider of the sync is counted already.

    Args:
        path: of the file.
        facts: name and hash of the file, to be completed.
        recover: take what is there of a file that ends too early.

    Raises:
        FileReadError: damaged header, missing records, or a file that holds no photons one by one.
    """
    import ptufile

    logging.getLogger("ptufile").setLevel(logging.CRITICAL)  # its remarks on odd header tags
    try:
        with ptufile.PtuFile(path) as ptu:
            expected, t3 = int(ptu.number_records), bool(ptu.is_t3)
            records: Any = ptu.decode_records()
            resolution_ps, tcspc_ps = float(ptu.global_resolution) * 1e12, float(ptu.tcspc_resolution) * 1e12
            header = {name: _plain(ptu.tags[tag]) for tag, name in _HEADER.items() if tag in ptu.tags}
    except (ptufile.PqFileError, ValueError, KeyError, IndexError) as error:
        raise FileReadError(
            f"{path.name}: its header is damaged ({error}); copy the file again from the PC that recorded it"
        ) from error
    warnings = list(facts.warnings)
    if len(records) < expected:
        lost = f"{path.name} is truncated: its header announces {expected} records, {len(records)} are there"
        if not recover:
            raise FileReadError(f"{lost}; copy it again, or take what is there with --recover (recover=True)")
        warnings.append(lost)
    is_photon = records["channel"] >= 0
    photons = records[is_photon]
    if not len(photons):
        raise FileReadError(f"{path.name} holds no photons ({len(records)} records); was the shutter open?")
    clock = photons["time"].astype(np.int64)
    end = int(records["time"][-1])  # of T3: the last pulse that is recorded
    channels = photons["channel"].astype(np.int8)
    complete = FileFacts(
        facts.name, facts.sha256, f"ptufile {version('ptufile')}", header,
        ("optics", "sample", "temperature", *(() if t3 else ("laser period",))), tuple(warnings),
    )  # fmt: skip
    numbers: dict[str, Any] = {
        "duration_s": end * resolution_ps * 1e-12, "records": len(records), "dropped": len(records) - len(photons),
    }
    if not t3:
        return PhotonFile(complete, "T2", np.rint(clock * resolution_ps).astype(np.int64), channels, **numbers)
    delay_bins = photons["dtime"].astype(np.int64)
    times_ps = np.rint(clock * resolution_ps).astype(np.int64) + np.rint(delay_bins * tcspc_ps).astype(np.int64)
    order = np.argsort(times_ps, kind="stable")  # the file is in the order of the pulses
    return PhotonFile(
        complete, "T3", times_ps[order], channels[order], **numbers, period_ps=resolution_ps, tcspc_ps=tcspc_ps,
        pulses=clock[order], delay_bins=delay_bins[order],
    )  # fmt: skip


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value
