"""The shipped data configs of detection, pose, five- to 21-point and rendered sets: they compose, pass the checks and
name parts and a scheme that their reader knows."""

import pytest
from hydra import compose, initialize_config_dir

from canthus import data
from canthus.commands import checks
from canthus.data.readers import AFLW, AFLW19, AFLW2000, BIWI, FDDB, W300LP, BioID, CelebA, LFWNet, WiderFace
from canthus.data.synthetic import Synthetic, SyntheticScenes
from canthus.schemes import load_scheme
from canthus.utils import errors, files

READERS = {
    "aflw": AFLW,
    "aflw19": AFLW19,
    "aflw2000": AFLW2000,
    "bioid": BioID,
    "biwi": BIWI,
    "celeba": CelebA,
    "fddb": FDDB,
    "lfw_net": LFWNet,
    "w300lp": W300LP,
    "wider_face": WiderFace,
}
RENDERED = {"synthetic": Synthetic, "synthetic_scenes": SyntheticScenes}


def composed(*overrides):
    checks.register_schemas()
    with initialize_config_dir(files.conf_path(), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize("name", READERS)
def test_config_passes_the_checks(name):
    cfg = composed(f"data={name}", "data.root=/nowhere")
    checks.check(cfg)
    assert cfg.data.name == name
    assert cfg.data.reader == f"canthus.data.readers.{READERS[name].__name__}"
    assert cfg.data.scheme == READERS[name].scheme
    assert load_scheme(cfg.data.scheme)


@pytest.mark.parametrize("name", READERS)
def test_root_is_asked_for(name):
    with pytest.raises(errors.ConfigError, match=r"needed but not given: data\.root=\.\.\."):
        checks.check(composed(f"data={name}"))


@pytest.mark.parametrize("name", READERS)
def test_config_names_every_option_of_its_reader(name):
    of_reader, _ = data.data_options(f"canthus.data.readers.{READERS[name].__name__}")
    cfg = composed(f"data={name}", "data.root=/nowhere")
    assert set(of_reader) <= set(cfg.data)
    defaults = {key: parameter.default for key, parameter in of_reader.items() if key != "root"}
    assert {key: cfg.data[key] for key in defaults} == defaults


@pytest.mark.parametrize("name", READERS)
def test_reader_knows_the_parts_of_its_config(name, tmp_path):
    cfg = composed(f"data={name}", "data.root=/nowhere")
    for part in [*cfg.data.train_parts, *cfg.data.test_parts]:
        with pytest.raises(errors.DataError, match="is missing; the folder holds nothing"):
            READERS[name](tmp_path).faces([part])
    with pytest.raises(errors.DataError, match=r"nowhere: no such folder; .*set data\.root"):
        READERS[name](tmp_path / "nowhere").faces([part])


@pytest.mark.parametrize("name", RENDERED)
def test_rendered_sets_need_no_root_and_name_every_option(name):
    cfg = composed(f"data={name}")
    checks.check(cfg)
    assert (cfg.data.name, cfg.data.reader) == (name, f"canthus.data.synthetic.{RENDERED[name].__name__}")
    of_reader, _ = data.data_options(cfg.data.reader)
    defaults = {key: parameter.default for key, parameter in of_reader.items()}
    assert {key: cfg.data[key] for key in defaults} == {
        key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()
    }
    reader = RENDERED[name](size=1)
    assert [part for part in (*cfg.data.train_parts, *cfg.data.test_parts) if reader.faces([part])] == ["train", "test"]
