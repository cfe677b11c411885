"""Faces: records, readers, store, augmentation and the one data module."""

import inspect
from typing import TYPE_CHECKING, Any

from canthus.data.face import DataError, Face, Reader, WholeImage
from canthus.data.making import make_reader, reader_options

if TYPE_CHECKING:
    from canthus.data.batch import InputSpec
    from canthus.data.datamodule import FaceDataModule

__all__ = ["DataError", "Face", "Reader", "WholeImage", "data_options", "face_data", "make_reader"]


def data_options(reader: str) -> tuple[dict[str, inspect.Parameter], dict[str, inspect.Parameter]]:
    """Parameters of a reader class and of the data modules: in a data config they stand side by side.

    Args:
        reader: dotted path of the reader class.

    Raises:
        DataError: no such class.
    """
    from canthus.data.datamodule import FaceDataModule
    from canthus.data.detection.datamodule import ImageDataModule

    of_reader = reader_options(reader)
    of_module = {**inspect.signature(ImageDataModule).parameters, **inspect.signature(FaceDataModule).parameters}
    of_module |= {key: inspect.signature(face_data).parameters[key] for key in ("view", "endless")}
    return of_reader, {key: value for key, value in of_module.items() if key not in ("input", "reader", "options")}


def face_data(
    input: "InputSpec", reader: str, view: str = "face", endless: bool = False, **options: Any
) -> "FaceDataModule":
    """Build the data module of a data config.

    Args:
        input: the image that the model wants.
        reader: dotted path of the reader class.
        view: ``face``: a crop per face (`FaceDataModule`); ``image``: also whole images (`ImageDataModule`).
        endless: new rendered faces in every epoch (`canthus.data.synthetic.endless.EndlessDataModule`).
        **options: parameters of the reader and of the data module; one that both have goes to both.

    Raises:
        DataError: an option that neither has, no such view, or options of the image view without it.
    """
    from canthus.data.datamodule import FaceDataModule
    from canthus.data.detection.datamodule import ImageDataModule

    of_reader, of_module = data_options(reader)
    unknown = set(options) - set(of_reader) - set(of_module)
    if unknown:
        raise DataError(f"{reader} and the data module have no option {', '.join(sorted(unknown))}")
    if view not in ("face", "image"):
        raise DataError(f"data.view is {view!r}; face (a crop per face) or image (whole images, for detection)")
    if endless and view == "image":
        raise DataError("data.endless=true makes faces, not whole images; remove it, or data.view=image")
    source = make_reader(reader, options)
    chosen = {key: value for key, value in options.items() if key in of_module}
    if view == "image":
        return ImageDataModule(input, source, **chosen)
    foreign = sorted(set(chosen) - set(inspect.signature(FaceDataModule).parameters))
    if foreign:
        raise DataError(f"data.{foreign[0]} belongs to whole images; remove it, or set data.view=image")
    if endless:
        from canthus.data.synthetic.endless import EndlessDataModule

        return EndlessDataModule(input, source, **chosen)
    return FaceDataModule(input, source, **chosen)
