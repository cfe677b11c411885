"""Readers and data modules from the words of a config."""

import inspect
from collections.abc import Mapping
from logging import getLogger
from typing import TYPE_CHECKING, Any

from canthus.data.face import Reader
from canthus.utils.errors import ConfigError, DataError

if TYPE_CHECKING:
    from canthus.data.batch import InputSpec
    from canthus.data.datamodule import FaceDataModule

__all__ = ["build_data", "make_reader", "reader_options"]

log = getLogger(__name__)


def build_data(config: Any, input: "InputSpec", **more: Any) -> "FaceDataModule":
    """The data module of a data config: the only way from one to the other.

    Args:
        config: group ``data``, of the user's own or checked by `canthus.runs.trust.check_trust`.
        input: what the model wants to see.
        **more: settings that go before those of the config.

    Raises:
        ConfigError: settings with which it cannot be built.
        DataError: likewise, about the data set itself.
    """
    from hydra.utils import instantiate  # as below

    data: FaceDataModule = instantiate(config, _partial_=True, _convert_="all")(input=input, **more)
    return data


def reader_options(reader: str) -> dict[str, inspect.Parameter]:
    """Parameters of a reader class.

    Args:
        reader: its dotted path.

    Raises:
        DataError: no such class.
    """
    from hydra.utils import get_class  # only where a reader is made: completion and help do without

    try:
        return dict(inspect.signature(get_class(reader)).parameters)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"data.reader={reader} cannot be imported: {error}") from error


def make_reader(reader: str, options: Mapping[str, Any]) -> Reader:
    """Build the reader of a data config, and say so if it is experimental.

    Args:
        reader: dotted path of the class.
        options: of the config; those that the reader does not take are left out.

    Raises:
        DataError: no such class, or an option that it refuses.
    """
    from hydra.utils import get_class

    of_reader = reader_options(reader)
    try:
        made = get_class(reader)(**{key: value for key, value in options.items() if key in of_reader})
    except (ConfigError, DataError):
        raise
    except (TypeError, ValueError) as error:  # such as a scheme that there is none of
        raise DataError(f"data: {reader.rpartition('.')[2]} cannot be made from these settings: {error}") from error
    assert isinstance(made, Reader)
    if made.experimental:
        name = type(made).__name__
        log.warning("%s is experimental: it never met the real files. Assumed: %s", name, made.experimental)
    return made
