from pathlib import Path

import pytest

from cryopl_bluesky.config import Profile, load_profile
from cryopl_bluesky.plans.recipe import load_recipe
from cryopl_bluesky.settings_file import ConfigError, parse_toml

RECIPE = """\
name = "overnight"
temperatures_K = [8, 30]
sample = {name = "A3"}

[[steps]]
plan = "widefield_image"
exposure_s = 0.2

[[steps]]
plan = "g2"
duration_s = 30
"""


@pytest.mark.parametrize("name", ["sim", "lab"])
def test_the_profiles_of_the_package_load(name):
    assert load_profile(name).name == name


def test_an_unknown_device_and_an_unknown_key_are_errors_with_their_line():
    text = 'name = "x"\n[camera]\nserail = "1"\n\n[kamera]\nserial = ""\n[laser]\nrepetition_rate_Hz = -3\n'
    with pytest.raises(ConfigError) as caught:
        parse_toml(text, Profile, "p.toml")
    assert "p.toml, line 3: unknown key 'serail'; did you mean 'serial'?" in str(caught.value)
    assert "p.toml, line 5: unknown key 'kamera'; did you mean 'camera'?" in str(caught.value)
    assert "p.toml, line 8: repetition_rate_Hz=-3: input should be greater than 0" in str(caught.value)


def test_a_missing_profile_says_what_there_is():
    with pytest.raises(ConfigError, match="use sim, lab or the path"):
        load_profile("nonsense")


def test_broken_toml_names_the_line():
    with pytest.raises(ConfigError, match="line 2"):
        parse_toml('name = "x"\n[camera\n', Profile, "p.toml")


def test_a_recipe_loads(tmp_path: Path):
    path = tmp_path / "night.toml"
    path.write_text(RECIPE)
    recipe = load_recipe(path)
    assert recipe.temperatures_K == [8, 30]
    assert [step.plan for step in recipe.steps] == ["widefield_image", "g2"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("exposure_s", "expsure_s", "line 7: unknown key 'expsure_s'; did you mean 'exposure_s'?"),
        ('"g2"', '"g3"', "line 10: plan='g3' does not exist; choose one of widefield_image"),
        ("duration_s = 30", "duration_s = 0", "line 11: duration_s=0: input should be greater than 0"),
        ("[8, 30]", "[8, -30]", "line 2: temperatures_K[1]=-30: input should be greater than 0"),
        ('{name = "A3"}', '{name = ""}', "line 3: name=''"),
        ('name = "overnight"\n', "", "name is missing"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_said_with_its_line(tmp_path: Path, old, new, message):
    path = tmp_path / "night.toml"
    path.write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_recipe(path)
    assert message in str(caught.value)
