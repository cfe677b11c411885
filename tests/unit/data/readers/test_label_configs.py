"""The data configs of 98-, 68- and 29-point sets and of one's own labels compose and name every option."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class

from canthus.commands import checks
from canthus.data import data_options
from canthus.utils import errors, files

NAMES = ["wflw", "cofw", "cofw68", "menpo", "csv", "coco"]


def composed(*overrides):
    checks.register_schemas()
    with initialize_config_dir(files.conf_path(), version_base="1.3"):
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
def test_config_composes_passes_the_checks_and_builds_its_reader(name, scheme, overrides):
    cfg = composed(f"data={name}", "data.root=/nowhere")
    checks.check(cfg)
    assert (cfg.data.name, cfg.data.scheme) == (name, scheme)
    checks.check(composed(f"data={name}", "data.root=/nowhere", *overrides))
    of_reader, _ = data_options(cfg.data.reader)
    assert set(of_reader) <= set(cfg.data)
    reader = get_class(cfg.data.reader)(**{key: value for key, value in cfg.data.items() if key in of_reader})
    assert reader.scheme == scheme
    assert all(getattr(reader, key) == cfg.data[key] for key in ("allow_partial", "box"))


@pytest.mark.parametrize("name", NAMES)
def test_root_is_asked_for(name):
    with pytest.raises(errors.ConfigError, match=r"needed but not given: data\.root=\.\.\."):
        checks.check(composed(f"data={name}"))


@pytest.mark.parametrize("name", ["csv", "coco"])
def test_scheme_of_own_labels_is_that_of_the_batches_unless_said(name):
    assert composed(f"data={name}", "data.label_scheme=98").data.scheme == 98
    both = composed(f"data={name}", "data.label_scheme=98", "data.scheme=68")
    assert (both.data.label_scheme, both.data.scheme) == (98, 68)
