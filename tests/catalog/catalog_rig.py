"""Small devices and the whole path RunEngine -> journal -> feeder -> catalog, for the catalog's tests."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import h5py
import numpy as np
from bluesky import RunEngine
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.sim import NullStatus
from tiled.utils import ensure_uri

from cryopl_bluesky.catalog.access import open_catalog
from cryopl_bluesky.catalog.folder import DataFolder
from cryopl_bluesky.catalog.journal import Journal
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.metadata import PersistentMetadata
from cryopl_bluesky.catalog.recovery import delivered_list
from cryopl_bluesky.catalog.writer import Feeder

HEIGHT, WIDTH, BINS = 24, 32, 64


def frame(index: int) -> np.ndarray:
    return (np.arange(HEIGHT * WIDTH, dtype="<u2").reshape(HEIGHT, WIDTH) + 60_000 + index).astype("<u2")


def histogram(index: int) -> np.ndarray:
    return np.arange(BINS, dtype="<i8") * (2**40) + index


def spectrum(index: int) -> np.ndarray:
    values = np.linspace(1.0, 2.0, BINS) / 3 + index
    values[3] = np.nan
    values[4] = np.inf
    return values


class FrameWriter(Device):
    """Writes one HDF5 file a run (SWMR), one frame a trigger."""

    exposure_s = Cpt(Signal, value=0.1, kind="config")
    mean_adu = Cpt(Signal, value=0.0, kind="hinted")

    def __init__(self, prefix: str = "", *, directory: Path, **kwargs: Any):
        super().__init__(prefix, **kwargs)
        self.directory = directory
        self.rewindable = Signal(name=f"{self.name}_rewindable", value=False)
        self.key = f"{self.name}_image"
        self.index = self.told = 0

    def stage(self) -> list[object]:
        path = self.directory / f"{uuid.uuid4().hex}.h5"
        self.file = h5py.File(path, "w", libver="latest")
        self.frames = self.file.create_dataset(
            "frames", shape=(0, HEIGHT, WIDTH), maxshape=(None, HEIGHT, WIDTH), chunks=(1, HEIGHT, WIDTH),
            dtype="<u2",
        )
        self.file.swmr_mode = True
        self.resource = {
            "uid": str(uuid.uuid4()), "data_key": self.key, "mimetype": "application/x-hdf5",
            "uri": ensure_uri(str(path)),
            "parameters": {"dataset": "frames", "chunk_shape": [1, HEIGHT, WIDTH], "swmr": True},
        }
        self.index = self.told = 0
        return super().stage()

    def unstage(self) -> list[object]:
        self.file.close()
        return super().unstage()

    def trigger(self) -> NullStatus:
        self.frames.resize(self.index + 1, axis=0)
        self.frames[self.index] = frame(self.index)
        self.frames.flush()
        self.mean_adu.put(float(frame(self.index).mean()))
        self.index += 1
        return NullStatus()

    def describe(self) -> dict[str, Any]:
        image = {"source": "file", "dtype": "array", "shape": [HEIGHT, WIDTH], "dtype_numpy": "<u2",
                 "external": "STREAM:"}
        return {**super().describe(), self.key: image}

    def get_index(self) -> int:
        return self.index

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        stop = self.index if index is None else min(index, self.index)
        if stop <= self.told:
            return
        if self.told == 0:
            yield "stream_resource", dict(self.resource)
        yield "stream_datum", {
            "uid": f"{self.resource['uid']}/{self.told}", "stream_resource": self.resource["uid"],
            "descriptor": "", "indices": {"start": self.told, "stop": stop},
            "seq_nums": {"start": 0, "stop": 0},
        }
        self.told = stop


class Reader:
    """A bare readable with one key of each kind; `late` is an integer at first and no integer later."""

    name = "tagger"
    parent = None

    def __init__(self) -> None:
        self.index = 0
        self.fraction = 0.25

    def trigger(self) -> NullStatus:
        self.index += 1
        return NullStatus()

    def values(self) -> dict[str, Any]:
        i = self.index - 1
        return {
            "tagger_counts": 2**40 + i, "tagger_rate_Hz": 0 if i == 0 else i + 0.5, "tagger_ok": i % 2 == 0,
            "tagger_note": f"nö {i}", "tagger_decay": histogram(i), "tagger_spectrum": spectrum(i),
            "tagger_late": i if i < 2 else i + self.fraction,
        }

    def read(self) -> dict[str, Any]:
        return {key: {"value": value, "timestamp": 1.0} for key, value in self.values().items()}

    def describe(self) -> dict[str, Any]:
        scalar = {"source": "test", "shape": []}
        return {
            "tagger_counts": {**scalar, "dtype": "integer", "dtype_numpy": "<i8"},
            "tagger_rate_Hz": {**scalar, "dtype": "number", "dtype_numpy": "<f8"},
            "tagger_ok": {**scalar, "dtype": "boolean"},
            "tagger_note": {**scalar, "dtype": "string"},
            "tagger_decay": {"source": "test", "shape": [BINS], "dtype": "array", "dtype_numpy": "<i8"},
            "tagger_spectrum": {"source": "test", "shape": [BINS], "dtype": "array", "dtype_numpy": "<f8"},
            "tagger_late": {**scalar, "dtype": "integer"},
        }

    def read_configuration(self) -> dict[str, Any]:
        return {"tagger_binwidth_ps": {"value": 16, "timestamp": 1.0}}

    def describe_configuration(self) -> dict[str, Any]:
        return {"tagger_binwidth_ps": {"source": "test", "shape": [], "dtype": "integer"}}


class Rig:
    """All the parts of a session that the catalog needs."""

    def __init__(self, data_dir: Path, *, feed: bool = True):
        self.folder = DataFolder.at(data_dir).create()
        self.catalog = open_catalog(self.folder) if feed else None
        self.feeder = None
        if self.catalog is not None:
            delivered = delivered_list(self.folder)
            self.feeder = Feeder(self.folder.journal, self.catalog.connect, on_delivered=delivered.add)
        self.journal = Journal(self.folder.journal, self.feeder.notify if self.feeder else None)
        metadata = PersistentMetadata(self.folder.metadata)
        self.RE = RunEngine(metadata, scan_id_source=metadata.next_scan_id, context_managers=[])
        self.RE.subscribe(self.journal)
        self.camera = FrameWriter(name="camera", directory=self.folder.frames)
        self.tagger = Reader()

    def close(self) -> None:
        if self.feeder is not None:
            self.feeder.close()
        self.journal.close()
        if self.catalog is not None:
            self.catalog.close()


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def measure(rig: Rig, points: int, *, md: dict | None = None, detectors: list | None = None) -> str:
    rig.tagger.index = 0
    detectors = [rig.camera, rig.tagger] if detectors is None else detectors
    (uid,) = rig.RE(bp.count(detectors, num=points), **(md or {}))
    return uid


def assert_whole(client, uid: str, points: int) -> None:
    """All rows, arrays and frames of a run are in the catalog exactly as measured."""
    run = load_measurement(client[uid])
    assert run.num_events == points
    assert list(run.data["seq_num"]) == list(range(1, points + 1))
    expected = {
        "tagger_counts": np.array([2**40 + i for i in range(points)], dtype="<i8"),
        "tagger_rate_Hz": np.array([0] + [i + 0.5 for i in range(1, points)], dtype="<f8"),
        "tagger_ok": np.array([i % 2 == 0 for i in range(points)]),
        "tagger_note": np.array([f"nö {i}" for i in range(points)]),
        "tagger_decay": np.stack([histogram(i) for i in range(points)]),
        "tagger_spectrum": np.stack([spectrum(i) for i in range(points)]),
        # Integers as announced, unless the third event brings a fraction.
        "tagger_late": np.array([i if i < 2 else i + 0.25 for i in range(points)]),
        "camera_mean_adu": np.array([frame(i).mean() for i in range(points)]),
    }
    for key, values in expected.items():
        assert run.data[key].dtype.kind == values.dtype.kind and run.data[key].shape == values.shape, key
        if values.dtype.kind != "U":
            assert run.data[key].dtype == values.dtype, key
        np.testing.assert_array_equal(run.data[key], values, err_msg=key)
    images = run.frames["camera_image"]
    assert images.shape == (points, HEIGHT, WIDTH) and images.dtype == np.dtype("<u2")
    np.testing.assert_array_equal(images[points - 1], frame(points - 1))
    np.testing.assert_array_equal(images[:, 3:5, 7], np.stack([frame(i)[3:5, 7] for i in range(points)]))
