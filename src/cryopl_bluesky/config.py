"""Profiles: which instruments a microscope has and how to reach them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from cryopl_bluesky.bench_settings import BenchSettings
from cryopl_bluesky.optics_settings import OpticsSettings
from cryopl_bluesky.settings_file import ConfigError, NotNegative, Positive, Settings, load_toml, parse_toml

PROFILES = ("sim", "lab")


class CameraSettings(Settings):
    """Andor ZL41 Wave 4.2 through SDK3.

    Attributes:
        serial: serial number; "" = the only camera that is connected.
        gain: SimplePreAmpGainControl as Andor writes it.
        readout_rate: PixelReadoutRate as Andor writes it.
        binning: on-chip binning.
        cooling_setpoint_C: sensor temperature to cool to; leave out to not touch the cooler.
    """

    serial: str = ""
    gain: str = "16-bit (low noise & high well capacity)"
    readout_rate: str = "270 MHz"
    binning: Literal[1, 2, 4, 8] = 1
    cooling_setpoint_C: float | None = 0.0


class SpectrographSettings(Settings):
    """Andor Kymera 328i through the Shamrock library.

    Attributes:
        serial: serial number; "" = the only spectrograph that is connected.
        entrance_slit: which motorised slit is the entrance.
        exit_slit: which motorised slit is in front of the interferometer.
        camera_port: exit port of the camera.
        hbt_port: exit port of the interferometer.
    """

    serial: str = ""
    entrance_slit: Literal["input_side", "input_direct"] = "input_side"
    exit_slit: Literal["output_side", "output_direct"] = "output_side"
    camera_port: Literal["direct", "side"] = "direct"
    hbt_port: Literal["direct", "side"] = "side"


class SettleRange(Settings):
    """When a temperature counts as settled, up to `below_K`.

    Attributes:
        below_K: the rule holds for set points below this.
        tolerance_K: every sample of the window must be this near.
        window_s: length of the window.
        slope_K_min: largest accepted drift in the window, K per minute.
        soak_s: wait after the window.
        timeout_s: give up after this.
    """

    below_K: Positive
    tolerance_K: Positive
    window_s: Positive
    slope_K_min: Positive
    soak_s: NotNegative
    timeout_s: Positive


class CryostatSettings(Settings):
    """attocube attoDRY800xs over JSON-RPC.

    Attributes:
        host: address of the controller.
        port: its TCP port.
        setpoint_min_K: lowest set point that is accepted.
        setpoint_max_K: highest set point that is accepted.
        settle: settle rules by temperature range; empty = the recommended ones.
    """

    host: str = "192.168.1.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9090
    setpoint_min_K: NotNegative = 3.0
    setpoint_max_K: Positive = 320.0
    settle: list[SettleRange] = []


class PowerPoint(Settings):
    """One reading of the power meter at the sample."""

    repetition_rate_Hz: Positive
    intensity_permille: Annotated[float, Field(ge=0, le=1000)]
    power_uW: NotNegative


class LaserSettings(Settings):
    """PicoQuant LDH-D-C-405 on a Sepia II, or on a PDL 800-D operated by hand.

    Attributes:
        driver: "sepia2" or "manual".
        library: path of Sepia2_Lib.dll; "" = search.
        device_index: USB index of the Sepia II.
        wavelength_nm: measured wavelength of the head.
        repetition_rate_Hz: rate used when a plan does not name one.
        intensity_permille: intensity used when a plan does not name one.
        power_table: power-meter readings.
    """

    driver: Literal["sepia2", "manual"] = "sepia2"
    library: str = ""
    device_index: Annotated[int, Field(ge=0, le=7)] = 0
    wavelength_nm: Positive = 405.0
    repetition_rate_Hz: Positive = 2.5e6
    intensity_permille: Annotated[float, Field(ge=0, le=1000)] = 600.0
    power_table: list[PowerPoint] = []


class GuardSettings(Settings):
    """When the guard of the SPADs locks the laser and closes the light path; rates are those of one SPAD.

    Attributes:
        bin_s: bin of the count rates.
        look_s: how often the counts are looked at while light can reach the SPADs.
        single_bin_Hz: highest rate in any bin.
        twice_Hz: highest rate in two bins in a row.
        sustained_Hz: highest mean rate over `sustained_s`.
        sustained_s: see there.
        baseline_dark_Hz: dark rate of a healthy SPAD in the dark.
        dark_factor: the light path is not opened when a dark rate is above this times the baseline.
        dark_warn_factor: from this times the baseline on, opening it is logged as a warning.
        zero_from_Hz: a SPAD that counted at least this fast must not fall silent.
        stall_s: longest time without counts from the tagger.
    """

    bin_s: Annotated[float, Field(ge=0.01, le=0.02)] = 0.01
    look_s: Annotated[float, Field(ge=0.001, le=0.02)] = 0.01
    single_bin_Hz: Positive = 10e6
    twice_Hz: Positive = 5e6
    sustained_Hz: Positive = 2e6
    sustained_s: Annotated[float, Field(ge=0.02, le=1)] = 0.1
    baseline_dark_Hz: Positive = 40.0
    dark_factor: Annotated[float, Field(gt=1)] = 10.0
    dark_warn_factor: Annotated[float, Field(gt=1)] = 3.0
    zero_from_Hz: Positive = 2e3
    stall_s: Annotated[float, Field(ge=0.1, le=10)] = 0.5


class HbtSettings(Settings):
    """Swabian Time Tagger Ultra with two SPADs.

    Attributes:
        serial: serial number; "" = the only one connected.
        spad1: input channel of SPAD 1; negative = falling edge.
        spad2: input channel of SPAD 2.
        sync: input channel of the laser's sync.
        trigger_levels_V: trigger levels of SPAD 1, SPAD 2 and sync.
        input_delays_ps: delays of SPAD 1, SPAD 2 and sync, from the channel-delay calibration.
        dead_time_ps: dead time set in the tagger for the SPADs.
        allow_overflows: accept data during which tags were lost.
        ttbin: beside stored time tags, also write the vendor's own file for each acquisition.
        tag_buffer: time tags that may wait in memory for the disk.
        typical_rate_Hz: usual count rate of one SPAD, for the disk estimate of a dry run.
        guard: limits of the guard of the SPADs.
    """

    serial: str = ""
    spad1: int = -1
    spad2: int = -2
    sync: int = -3
    trigger_levels_V: tuple[float, float, float] = (-0.4, -0.4, -0.4)
    input_delays_ps: tuple[int, int, int] = (0, 0, 0)
    dead_time_ps: Annotated[int, Field(ge=0)] = 2100
    allow_overflows: bool = False
    ttbin: bool = False
    tag_buffer: Annotated[int, Field(ge=10_000)] = 8_000_000
    typical_rate_Hz: Positive = 50e3
    guard: GuardSettings = GuardSettings()


class FlipSettings(Settings):
    """A lens on a flip mount.

    Attributes:
        driver: "mff" (Thorlabs MFF101/102) or "manual" (the operator is asked).
        serial: serial number of the motorised mount.
        in_state: state of the mount in which the lens is in the beam.
    """

    driver: Literal["mff", "manual"] = "mff"
    serial: str = ""
    in_state: Literal[0, 1] = 1


class MicroscopeSettings(Settings):
    """The manual parts and the calibration; defaults are those of the publication (setup.md).

    Attributes:
        relay: "4x" = 50/200 mm, "1x" = 100/100 mm.
        filters: names in the order of the beam.
        long_pass: name of the filter that keeps the laser light from the detectors; for the IRF it is taken out.
        iris_mm: diameter of the iris; 0 = open.
        scale_nm_per_px: bead calibration of this relay; 0 = none, lens values are used.
        scale_rel_err: its relative error.
        irf_fwhm_ps: width of the instrument response.
        spot_diameter_x_um: 1/e2 diameter of the excitation spot with L1 in.
        spot_diameter_y_um: the same in y.
    """

    relay: Literal["4x", "1x"] = "4x"
    filters: list[str] = ["DMLP425R", "FELH0425"]
    long_pass: str = "FELH0425"
    iris_mm: NotNegative = 0.0
    scale_nm_per_px: NotNegative = 0.0
    scale_rel_err: NotNegative = 0.0
    irf_fwhm_ps: Positive = 200.0
    spot_diameter_x_um: Positive = 16.5
    spot_diameter_y_um: Positive = 18.0


class DiskSettings(Settings):
    """When the disk of the data counts as full.

    Attributes:
        reserve_MB: free space (10^6 bytes) below which a run is held up; what one event writes must fit into it, and
            the last 268 MB are never used.
    """

    reserve_MB: Annotated[float, Field(ge=300)] = 2000.0


class CalibrationAges(Settings):
    """From how many days on a calibration counts as old, by kind; how long one holds is for the lab to say."""

    dark: Positive = 7.0
    scale: Positive = 180.0
    spot: Positive = 30.0
    wavelength_lines: Positive = 90.0
    irf: Positive = 30.0
    channel_delay: Positive = 90.0
    laser_power: Positive = 30.0


class CalibrationSettings(Settings):
    """When a measurement warns of its calibrations.

    Attributes:
        max_age_days: by kind of calibration.
    """

    max_age_days: CalibrationAges = CalibrationAges()


NotifyEvent = Literal["start", "trip", "disk", "failure", "done"]


class NotifySettings(Settings):
    """Who is told of nights and trips, through apprise.

    Attributes:
        urls: services as apprise writes them, for example "mailtos://user:password@example.org"; they are neither
            logged nor recorded.
        events: what they are told of: "start" of a night, "trip" of the SPADs' guard or of an interlock, "disk" short
            of room, "failure" of a night, "done" with its picture.
        timeout_s: longest wait for the services at the end of a session.
    """

    urls: list[SecretStr] = []
    events: list[NotifyEvent] = ["start", "trip", "disk", "failure", "done"]
    timeout_s: Positive = 15.0


class SupervisionSettings(Settings):
    """The guard that makes laser and light path safe when the session cannot any more.

    Attributes:
        silence_s: it also acts when the session's process lives but has given no sign of life for this long.
    """

    silence_s: Annotated[float, Field(ge=3, le=600)] = 10.0


class Profile(Settings):
    """One microscope: which instruments there are and how to reach them.

    Attributes:
        name: name of the profile, recorded with every run.
        data_dir: folder of the data; "" = `cryopl-data` in the present folder.
    """

    name: str
    data_dir: str = ""
    disk: DiskSettings = DiskSettings()
    notify: NotifySettings = NotifySettings()
    bench: BenchSettings | None = None
    camera: CameraSettings = CameraSettings()
    spectrograph: SpectrographSettings = SpectrographSettings()
    cryostat: CryostatSettings = CryostatSettings()
    laser: LaserSettings = LaserSettings()
    hbt: HbtSettings = HbtSettings()
    l1_flip: FlipSettings = FlipSettings()
    l5_flip: FlipSettings = FlipSettings()
    microscope: MicroscopeSettings = MicroscopeSettings()
    optics: OpticsSettings = OpticsSettings()
    supervision: SupervisionSettings = SupervisionSettings()
    calibration: CalibrationSettings = CalibrationSettings()


def load_profile(name_or_path: str) -> Profile:
    """Load a profile that comes with the package, or one from a file or folder.

    Args:
        name_or_path: `sim`, `lab`, a `.toml` file, or a folder with a `profile.toml`.

    Raises:
        ConfigError: no such profile, not TOML, or a key or value that does not exist.
    """
    if name_or_path in PROFILES:
        resource = files("cryopl_bluesky") / "profiles" / name_or_path / "profile.toml"
        return parse_toml(resource.read_text(encoding="utf-8"), Profile, f"profile {name_or_path}")
    path = Path(name_or_path)
    path = path / "profile.toml" if path.is_dir() else path
    if not path.is_file():
        raise ConfigError(name_or_path, [(0, f"no such profile; use {', '.join(PROFILES)} or the path of a file")])
    return load_toml(path, Profile)
