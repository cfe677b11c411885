"""The data configs of these readers compose, name real options and build their readers."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class

from canthus import config
from canthus.data import data_options


def composed(*overrides):
    config.register_schemas()
    with initialize_config_dir(config.conf_path(), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize(
    ("name", "scheme", "overrides"),
    [
        ("wflw", "98", ["data.scheme=68-index", "data.box=detector"]),
        ("cofw", "29", ["data.scheme=5", "data.box=detector"]),
        ("cofw68", "68", ["data.first_pixel=0", "data.cofw=/elsewhere"]),
        ("menpo", "68", ["data.allow_partial=true"]),
        ("csv", "68", ["data.label_scheme=98", "data.labels=all.csv", "data.first_pixel=1"]),
        ("coco", "68", ["data.label_scheme=98", "data.images=images", "data.first_pixel=1"]),
    ],
)
def test_config_composes_and_passes_the_checks(name, scheme, overrides):
    cfg = composed(f"data={name}", "data.root=/nowhere")
    config.check(cfg)
    assert cfg.data.scheme == scheme
    config.check(composed(f"data={name}", "data.root=/nowhere", *overrides))
    of_reader, _ = data_options(cfg.data.reader)
    options = {key: value for key, value in cfg.data.items() if key in of_reader}
    reader = get_class(cfg.data.reader)(**options)
    assert reader.scheme == scheme


@pytest.mark.parametrize("name", ["wflw", "cofw", "cofw68", "menpo", "csv", "coco"])
def test_root_is_asked_for(name):
    with pytest.raises(config.ConfigError, match=r"needed but not given: data\.root=\.\.\."):
        config.check(composed(f"data={name}"))
