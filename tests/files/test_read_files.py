"""Files of other programs: what the sample files are known to hold, and damaged ones."""

from pathlib import Path

import numpy as np
import pytest

from cryopl_bluesky.files import DecayFile, FileReadError, FramesFile, PhotonFile, read_file

DATA = Path(__file__).parents[1] / "data"


def copy(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_t3_photons():
    found = read_file(DATA / "picoquant" / "hydraharp_v10_t3.ptu")
    assert isinstance(found, PhotonFile)
    assert found.pulses is not None and found.delay_bins is not None
    assert (found.mode, found.records, found.channels.size, found.dropped) == ("T3", 167_801, 94_560, 73_241)
    assert np.bincount(found.channels).tolist() == [48_001, 46_559]
    assert (found.period_ps, found.tcspc_ps) == (pytest.approx(400e3, rel=1e-9), pytest.approx(128, rel=1e-8))
    assert found.pulses[:5].tolist() == [2163, 10260, 13775, 13899, 14876]
    assert found.delay_bins[:5].tolist() == [29, 30, 64, 28, 59]
    assert found.channels[:5].tolist() == [1, 0, 0, 1, 0]
    assert found.pulses[-1] == 74_999_247
    assert (found.times_ps[:5] == found.pulses[:5] * 400_000 + found.delay_bins[:5] * 128).all()
    assert found.duration_s == pytest.approx(29.9997, abs=5e-5)
    assert found.facts.header["sync_rate_Hz"] == 2_500_000
    assert found.facts.sha256.startswith("424dd4c7d7eca847")


def test_t2_photons():
    found = read_file(DATA / "picoquant" / "picoharp_v30_t2.ptu")
    assert isinstance(found, PhotonFile)
    assert (found.mode, found.records, found.channels.size, found.dropped) == ("T2", 929_254, 920_177, 9_077)
    assert np.bincount(found.channels).tolist() == [531_477, 388_700]
    assert (found.times_ps[:5] // 4).tolist() == [32486569, 34975036, 35075042, 39251037, 40145286]
    assert found.times_ps[-1] == 1_912_597_668_189 * 4
    assert (np.diff(found.times_ps) >= 0).all()
    assert found.period_ps is None


def test_spectra_of_a_sif():
    found = read_file(DATA / "andor" / "measurement.sif")
    assert isinstance(found, FramesFile) and found.wavelength_nm is not None
    assert found.frames.shape == (20, 1, 1024)
    assert (found.frames.sum(), found.frames.min(), found.frames.max()) == (28_521_276, 610, 48_009)
    assert found.frames[0, 0, :5].tolist() == [747, 718, 719, 695, 786]
    assert found.frames.sum(axis=(1, 2))[:3].tolist() == [1_444_034, 1_411_806, 1_318_272]
    assert found.wavelength_nm[[0, 511, 1023]] == pytest.approx([529.99984, 561.46997, 592.84125], abs=1e-5)
    assert found.facts.header == {
        "camera": "DH334T-18F-63", "exposure_s": 3.0, "accumulations": 1, "detector_temperature_C": -25.0,
        "time": 1690545064, "column_binning": 1, "row_binning": 1024, "spectrograph": "KY328i",
        "centre_wavelength_nm": 561.47, "lines_per_mm": 599.566, "blaze": "650NM", "slit_um": 50.0,
    }  # fmt: skip


def test_sif_and_asc_are_the_same_spectrum():
    sif, asc = (read_file(DATA / "andor" / f"raman1.{suffix}") for suffix in ("sif", "asc"))
    assert isinstance(sif, FramesFile) and isinstance(asc, FramesFile)
    assert sif.wavelength_nm is not None and asc.wavelength_nm is not None
    assert sif.frames.shape == asc.frames.shape == (1, 1, 1024)
    assert sif.frames.sum() == 1_918_608_056
    assert sif.frames[0, 0, :5].tolist() == [280099, 282936, 283433, 283748, 283608]
    assert (sif.frames.argmax(), sif.frames.max()) == (1018, 3_077_877)
    assert sif.wavelength_nm[1018] == pytest.approx(454.315, abs=5e-4)
    assert sif.wavelength_nm[[0, -1]] == pytest.approx([405.23317, 454.55334], abs=1e-5)
    assert np.abs(sif.wavelength_nm - asc.wavelength_nm).max() < 2.0e-5
    assert np.abs(asc.frames / sif.frames - 1).max() < 4.6e-6
    shared = ("exposure_s", "accumulations", "centre_wavelength_nm", "lines_per_mm", "slit_um", "spectrograph", "blaze")
    assert {key: sif.facts.header[key] for key in shared} == {key: asc.facts.header[key] for key in shared}
    assert asc.facts.header["filter"] == "1-405 notch"
    assert asc.facts.header["port"] == "Direct"


def test_an_image_has_no_wavelengths_and_no_spectrograph():
    found = read_file(DATA / "andor" / "image.sif")
    assert isinstance(found, FramesFile)
    assert found.frames.shape == (1, 512, 512)
    assert found.frames.mean() == pytest.approx(897.5725, abs=1e-4)
    assert found.frames.std() == pytest.approx(80.489, abs=1e-3)
    assert (found.frames.min(), found.frames.max()) == (pytest.approx(851.6), pytest.approx(2664.65))
    assert [found.frames[0, y, x] for y, x in ((0, 0), (100, 200), (511, 511))] == [887.0, 897.75, 867.0]
    assert found.wavelength_nm is None
    assert not {"spectrograph", "centre_wavelength_nm", "lines_per_mm"} & set(found.facts.header)


def test_a_truncated_sif_is_refused_or_recovered():
    path = DATA / "andor" / "c0rrupt.sif"
    with pytest.raises(FileReadError, match=r"corrupt.*4 frames, 2 whole ones.*--recover"):
        read_file(path)
    found = read_file(path, recover=True)
    assert isinstance(found, FramesFile)
    assert found.frames.shape == (2, 512, 512)
    assert (found.frames.sum(), found.frames.min(), found.frames.max()) == (266_365_585, 431, 591)
    assert "corrupt" in found.facts.warnings[0]


def test_decays():
    decay, irf = (read_file(DATA / "lifefit" / name) for name in ("Atto550_DNA.txt", "irf.txt"))
    assert isinstance(decay, DecayFile) and isinstance(irf, DecayFile)
    assert decay.binwidth_ps == irf.binwidth_ps == pytest.approx(27.43484, rel=1e-9)
    assert (decay.counts.sum(), decay.counts.max(), decay.counts.argmax()) == (1_476_495, 10_000, 1035)
    assert (irf.counts.sum(), irf.counts.max(), irf.counts.argmax()) == (124_877, 10_000, 1015)
    assert [np.flatnonzero(part.counts)[[0, -1]].tolist() for part in (decay, irf)] == [[201, 3894], [201, 3889]]


def test_a_truncated_ptu_is_refused_or_recovered(tmp_path):
    whole = (DATA / "picoquant" / "hydraharp_v10_t3.ptu").read_bytes()
    path = copy(tmp_path, "cut.ptu", whole[: len(whole) // 2])
    with pytest.raises(FileReadError, match=r"truncated.*167801 records, 83175 are there.*--recover"):
        read_file(path)
    found = read_file(path, recover=True)
    assert isinstance(found, PhotonFile)
    assert (found.records, len(found.facts.warnings)) == (83_175, 1)
    with pytest.raises(FileReadError, match="header is damaged"):
        read_file(copy(tmp_path, "header.ptu", whole[:2000]), recover=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.ptu", b"", "a.ptu is empty"),
        ("b.ptu", b"garbage" * 100, "not a PicoQuant .ptu file: it begins with"),
        ("c.sif", b"PQTTTR\0\0" + bytes(100), "is a PicoQuant .ptu file by its content; rename it"),
        ("d.txt", b"PQTTTR\0\0" + bytes(100), "is a PicoQuant .ptu file by its content; rename it"),
        ("e.sif", b"Andor Technology Multi-Channel File\nnonsense 1 2 \n", "corrupt|longer than"),
        ("f.asc", "no numbers at all\n", "no columns of numbers"),
        ("g.asc", bytes(range(256)) * 4, "binary data"),
        ("h.txt", "1\t5\n2\t7\n", "width of a channel"),
        ("i.txt", "Time calibration: 0.05 ns/ch\nChan\tData\n1\t5.5\n2\t7\n", "negative or broken"),
        ("j.asc", "500.0\t1\n501.0\t2\n502.0\t3\n500.0\t1\n501.0\t4\n", "truncated"),
        ("k.docx", b"PK", "files of this kind cannot be read"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, name, content, message):
    with pytest.raises(FileReadError, match=message):
        read_file(copy(tmp_path, name, content), time_limit_s=2.0)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileReadError, match="there is no file"):
        read_file(tmp_path / "none.ptu")


def test_texts_of_other_locales_and_programs(tmp_path):
    comma = read_file(copy(tmp_path, "a.asc", "500,25\t1,5\t\r\n501,5\t2\t\r\n502,75\t3\t\r\n\r\nModel: X\r\n"))
    assert isinstance(comma, FramesFile) and comma.wavelength_nm is not None
    assert comma.wavelength_nm.tolist() == [500.25, 501.5, 502.75]
    assert comma.frames.tolist() == [[[1.5, 2.0, 3.0]]]
    assert comma.facts.header == {"camera": "X"}
    kinetic = read_file(copy(tmp_path, "b.asc", "1\t10\t20\t\n2\t11\t21\t\n1\t12\t22\t\n2\t13\t23\t\n"))
    assert isinstance(kinetic, FramesFile)
    assert kinetic.wavelength_nm is None
    assert kinetic.frames.tolist() == [[[10, 11], [20, 21]], [[12, 13], [22, 23]]]
    timed = read_file(copy(tmp_path, "c.csv", "Time (ns),Counts\n0.00,3\n0.05,9\n0.10,7\n"))
    assert isinstance(timed, DecayFile)
    assert (timed.binwidth_ps, timed.counts.tolist()) == (pytest.approx(50.0), [3, 9, 7])
