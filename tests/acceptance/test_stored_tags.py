"""What the time tags say is what the tagger's own histograms said of the same photons, bin for bin."""

from __future__ import annotations

import numpy as np
import pytest

from cryopl_bluesky import plans
from cryopl_bluesky.analysis.g2 import pulsed_g2
from cryopl_bluesky.analysis.g2_tags import block_areas_of_tags
from cryopl_bluesky.analysis.photons import CrossCorrelation, DecayHistogram, RateTrace
from cryopl_bluesky.catalog.load import load_measurement
from cryopl_bluesky.catalog.queries import find_run
from cryopl_bluesky.figures.runs import draw_run


@pytest.fixture(scope="module")
def run(session):
    plan = plans.g2(session.instruments, duration_s=20.0, wavelengths_nm=[525.0, 527.0], binwidth_ps=700,
                    decay_binwidth_ps=90)
    (uid,) = session.RE(plan)
    assert session.feeder.wait_until_delivered(30)
    return load_measurement(find_run(session.cat, uid))


@pytest.mark.parametrize("event", [0, 1])
@pytest.mark.parametrize("size", [1_000_003, 9_973])
def test_histograms_from_the_tags_are_the_vendors_bin_for_bin(run, event, size):
    with run.tags() as tags:
        one, two, sync = (tags.channels[role].channel for role in ("spad1", "spad2", "sync"))
        pairs = CrossCorrelation(one, two, 700, len(run.data["hbt_g2_histogram"][event]))
        decays = [DecayHistogram(spad, sync, 90, len(run.data["hbt_decay_spad1"][event])) for spad in (one, two)]
        rates = RateTrace([one, two], 10**10)
        for times_ps, channels in tags.chunks(event, size):
            for kernel in (pairs, *decays, rates):
                kernel.add(times_ps, channels)
    assert pairs.counts.sum() > 1_000
    np.testing.assert_array_equal(pairs.counts, run.data["hbt_g2_histogram"][event])
    for spad, kernel in zip(("spad1", "spad2"), decays, strict=True):
        np.testing.assert_array_equal(kernel.counts, run.data[f"hbt_decay_{spad}"][event])
    assert rates.counts.sum() == run.data["hbt_spad1_counts"][event] + run.data["hbt_spad2_counts"][event]


def test_the_blocks_of_an_acquisition_add_up_to_its_histogram(run):
    with run.tags() as tags:
        blocks = block_areas_of_tags(
            tags.chunks(0, 50_000), tags.channels["spad1"].channel, tags.channels["spad2"].channel, 400.0,
            block_s=0.2, peaks=10,
        )
    whole = pulsed_g2(run.data["hbt_g2_histogram"][0], 700, 400.0, offset_ns=0.0, side_peaks=10)
    areas = whole.areas[np.abs(whole.k) <= 10]
    assert len(blocks.areas) in (98, 99, 100)
    # The last block and pairs across borders are missing, and bins of another width meet at the edges of the peaks.
    assert blocks.areas.sum() == pytest.approx(areas.sum(), rel=0.03)
    assert np.abs(blocks.areas.sum(axis=0) - areas).max() < 5 * np.sqrt(areas.mean())


def test_the_picture_of_a_run_with_tags_says_the_error_by_blocks(run):
    legends = [axes.get_legend() for axes in draw_run(run).axes]
    text = " ".join(legend.get_title().get_text() for legend in legends if legend is not None)
    assert "by blocks" in text
