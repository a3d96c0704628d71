"""Properties of the virtual interferometer: splitter, two SPADs, cables and the tagger's inputs.

All numbers are defaults of `facts/analysis.md` section 12 and `facts/picoquant.md` section 11: settings of
the virtual instrument, not measured values.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HbtParameters:
    """Two SPADs behind a splitter, the laser's sync, and how they are wired to the tagger.

    Attributes:
        serial: serial number of the virtual tagger.
        inputs: number of licensed inputs, numbered from 1.
        spad1_input: input of SPAD 1.
        spad2_input: input of SPAD 2.
        sync_input: input of the laser's sync output.
        pulse_V: height of the pulses at all inputs (NIM: -0.8 V, so the leading edge is the falling one).
        pulse_width_ps: width of these pulses, the delay between leading and trailing edge.
        splitting: fraction of the photons that go to SPAD 1.
        dead_time_ps: SPAD dead time after a click (not extended by photons that arrive in it).
        dark_Hz: dark counts per SPAD.
        jitter_fwhm_ps: Gaussian timing jitter of a SPAD.
        tail_fraction: fraction of clicks that come late by an exponential delay.
        tail_ps: time constant of that delay.
        afterpulsing: probability of an after-pulse per click.
        afterpulse_ps: time constant of after-pulses, counted from the end of the dead time.
        path_delay_ps: how much later than its sync a laser pulse's first photon is seen by SPAD 1.
        cable2_ps: how much longer the cable of SPAD 2 is.
        tagger_jitter_ps: root mean square jitter of each tagger input.
        tagger_dead_time_ps: dead time of a tagger input after power-up.
    """

    serial: str = "2140000VRT"
    inputs: int = 4
    spad1_input: int = 1
    spad2_input: int = 2
    sync_input: int = 3
    pulse_V: float = -0.8
    pulse_width_ps: int = 5_000
    splitting: float = 0.5
    dead_time_ps: int = 77_000
    dark_Hz: float = 30.0
    jitter_fwhm_ps: float = 27.0
    tail_fraction: float = 0.01
    tail_ps: float = 300.0
    afterpulsing: float = 0.01
    afterpulse_ps: float = 40_000.0
    path_delay_ps: int = 3_000
    cable2_ps: int = 1_700
    tagger_jitter_ps: float = 8.0
    tagger_dead_time_ps: int = 2_100
