import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "spectra.md"


def test_the_example_of_the_page_runs_and_finds_its_line():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(example, names)
    peak, fit, choice = names["peak"], names["fit"], names["choice"]
    assert abs(peak.centre_nm - 527.15) < 0.1  # 527 nm in air
    assert fit.good_fit and len(choice.best.peaks) == 1 and choice.best.shape == "gaussian"
    assert len(names["frame"].cosmic_ray_px) == 0
