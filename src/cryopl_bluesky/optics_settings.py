"""The section [optics] of a profile: lenses, detector and spectrograph, as `cryopl optics` reckons with them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from cryopl_bluesky.settings_file import Positive, Settings

Angle = Annotated[float, Field(gt=-45, lt=45)]


class KnownLines(Settings):
    """Two or more lines of known wavelength that were seen with this spectrograph.

    Attributes:
        lines_per_mm: Grating they were seen with.
        centre_nm: Its centre wavelength.
        reference_nm: Wavelengths.
        position_px: Unbinned columns, counted from 0; same number and order.
        position_err_px: Standard error of a position.
    """

    lines_per_mm: Positive
    centre_nm: Positive
    reference_nm: Annotated[list[Positive], Field(min_length=2)]
    position_px: Annotated[list[float], Field(min_length=2)]
    position_err_px: Annotated[float, Field(ge=0)] = 0.05

    @model_validator(mode="after")
    def _same_number(self) -> KnownLines:
        if len(self.reference_nm) != len(self.position_px):
            raise ValueError(
                f"position_px has {len(self.position_px)} entries but reference_nm {len(self.reference_nm)}; "
                "give one position for each line"
            )
        return self


class OpticsSettings(Settings):
    """Geometry of the microscope; defaults are those of the publication (Table 1) and of a Kymera 328i.

    Attributes:
        f_objective_mm: Focal length of the objective.
        objective_na: Its numerical aperture.
        clear_aperture_mm: Its clear aperture.
        corrected_from_nm: Shortest wavelength for which it is corrected.
        corrected_to_nm: Longest.
        f_l1_mm: Focal length of the wide-field lens L1.
        d_l1_um: 1/e2 diameter of the excitation at L1.
        l1_to_objective_mm: Distance from L1 to the objective.
        f_l2_mm: Focal length of the tube lens L2.
        f_l6_mm: Focal length of the lens behind the exit slit.
        f_l7_mm: Focal length of the lenses in front of the SPADs.
        spad_um: Diameter of a SPAD's active area.
        pixel_um: Pixel pitch of the camera.
        pixels: Columns and rows of the camera.
        long_pass_nm: Cut-on of dichroic and long pass.
        fraction_at_sample: Part of the measured laser power that reaches the sample.
        spectrograph_focal_mm: Focal length of the spectrograph.
        half_deviation_deg: Half the angle between its beams at the grating.
        detector_tilt_deg: Tilt of its focal plane.
        gratings_lines_per_mm: Gratings to tabulate; the publication does not state its own.
        detection_nm: Wavelength to reckon with.
        entrance_slit_um: Entrance slit to reckon with.
        exit_slit_um: Exit slit to reckon with.
        grating_lines_per_mm: Grating to reckon with.
        known_lines: Lines to check the dispersion with; none = not checked.
    """

    f_objective_mm: Positive = 2.87
    objective_na: Annotated[float, Field(gt=0, lt=1)] = 0.82
    clear_aperture_mm: Positive = 4.7
    corrected_from_nm: Positive = 465.0
    corrected_to_nm: Positive = 590.0
    f_l1_mm: Positive = 125.4
    d_l1_um: Positive = 600.0
    l1_to_objective_mm: Positive = 240.0
    f_l2_mm: Positive = 300.0
    f_l6_mm: Positive = 30.0
    f_l7_mm: Positive = 20.0
    spad_um: Positive = 50.0
    pixel_um: Positive = 6.5
    pixels: Annotated[int, Field(ge=8)] = 2048
    long_pass_nm: Positive = 425.0
    fraction_at_sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    spectrograph_focal_mm: Positive = 328.0
    half_deviation_deg: Angle = 11.416
    detector_tilt_deg: Angle = -3.942
    gratings_lines_per_mm: Annotated[list[Positive], Field(min_length=1)] = [150.0, 300.0, 600.0, 1200.0, 1800.0]
    detection_nm: Positive = 525.0
    entrance_slit_um: Positive = 50.0
    exit_slit_um: Positive = 50.0
    grating_lines_per_mm: Positive = 600.0
    known_lines: list[KnownLines] = []
