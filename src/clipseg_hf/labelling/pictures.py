"""The pictures that are to be labelled: a folder of files, or the rows of a data set."""

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from clipseg_hf.data.rows.row_source import is_image_name
from clipseg_hf.data.sources.columns import is_saved_dataset, load_data
from clipseg_hf.inference.inputs.data_sets import image_column


class Pictures(ABC):
    """Numbered pictures; sent to other processes as what they were made from.

    Attributes:
        names: what to call each, no two alike, in the order of their numbers.
        stamps: for each what changes with it, as far as that is known without reading it.
    """

    names: list[str]
    stamps: list[str]

    @abstractmethod
    def image(self, number: int) -> Any:
        """Picture `number`, as `load_image` takes it."""


class PictureFiles(Pictures):
    """The images in a folder and in the folders below it, by their paths; hidden ones are left out.

    Args:
        folder: where they are.
        without: a folder that is not looked into: the one that is written.

    Raises:
        ValueError: there is none.
    """

    def __init__(self, folder: str | os.PathLike, without: str | os.PathLike | None = None):
        self.folder = Path(folder).absolute()
        out = None if without is None else os.path.abspath(without)
        found = {}
        for place, folders, files in os.walk(self.folder, followlinks=True):
            folders[:] = [name for name in folders if not name.startswith(".") and os.path.join(place, name) != out]
            for name in files:
                if is_image_name(name) and not name.startswith("."):
                    path = os.path.join(place, name)
                    size = os.stat(path).st_size if os.path.exists(path) else -1  # -1: a link that leads nowhere
                    found[Path(path).relative_to(self.folder).as_posix()] = f"{size} bytes"
        if not found:
            raise ValueError(f"There are no images in {folder}, nor in the folders below it.")
        self.names = sorted(found)
        self.stamps = [found[name] for name in self.names]

    def image(self, number: int) -> str:
        return str(self.folder / self.names[number])

    def __reduce__(self):
        return _with_names, (type(self), {"folder": self.folder, "names": self.names, "stamps": self.stamps})


class PictureRows(Pictures):
    """A column of images of a data set, split by split; a picture is called as its split and its number there.

    Args:
        data: a folder that `save_to_disk` wrote or that holds Parquet files, or a name on the Hub.
        column: the images.

    Raises:
        ValueError: there is no such column.
    """

    def __init__(self, data: str, column: str = "image"):
        self.data, self.column = data, column
        self._splits = {}
        self.names, self.stamps, self._places = [], [], []
        for split, rows in image_column(data, column, load_data(data)).items():
            self._splits[split] = rows
            self.names += [f"{split}-{number:08d}" for number in range(len(rows))]
            self.stamps += [""] * len(rows)
            self._places += [(split, number) for number in range(len(rows))]

    def image(self, number: int) -> Any:
        split, row = self._places[number]
        return self._splits[split][row][self.column]

    def __reduce__(self):
        return type(self), (self.data, self.column)


def open_pictures(data: str | os.PathLike, column: str = "image", without: str | os.PathLike | None = None) -> Pictures:
    """A folder of images, or what `PictureRows` takes.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: there are no images, or no such column.
    """
    data = os.fspath(data)
    if os.path.isfile(data):
        raise ValueError(f"{data} is a file; expected a folder of images, or a data set.")
    if not os.path.isdir(data):
        if data.count("/") == 1 and not os.path.isdir(data.split("/")[0]):
            return PictureRows(data, column)
        raise FileNotFoundError(f"There is no folder {data}.")
    if is_saved_dataset(data) or (any(Path(data).rglob("*.parquet")) and not _has_images(data)):
        return PictureRows(os.path.abspath(data), column)
    return PictureFiles(data, without)


def _has_images(folder: str) -> bool:
    return any(is_image_name(name) for _, _, files in os.walk(folder) for name in files)


def _with_names(kind: type[Pictures], state: dict) -> Pictures:
    pictures = kind.__new__(kind)
    pictures.__dict__.update(state)
    return pictures
