"""Whatever holds pictures -> the pictures, by name."""

import glob
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.row_source import IMAGE_SUFFIXES
from clipseg_hf.inference.inputs.data_sets import DATA_SUFFIXES, images_of, is_hub_name
from clipseg_hf.inference.inputs.videos import VIDEO_SUFFIXES, VideoFrames
from clipseg_hf.inference.saving import is_remote
from clipseg_hf.processing.images import ImageLike

ARCHIVE_SUFFIXES = (".zip", ".tar")


@dataclass(frozen=True)
class Picture:
    """One picture that is read when its turn comes.

    Attributes:
        name: path or URL; inside of an archive or a video, its path and what follows from there.
        open: gives what `load_image` takes.
    """

    name: str
    open: Callable[[], ImageLike]


def list_pictures(
    given: Iterable[str],
    output_dir: str | Path | None = None,
    *,
    every: int = 1,
    column: str = "image",
    split: str | None = None,
) -> Iterator[Picture]:
    """Pictures in the order given; those of a folder (not of folders in it), pattern or archive by name.

    Args:
        given: paths of images, of folders or archives (.zip, .tar) of images, or of videos; patterns such as
            `photos/**/*.jpg`; URLs; data sets: see `images_of`. A folder that holds images is no data set.
        output_dir: where results go.
        every: take each n-th frame of a video, from the first.
        column, split: of data sets, see `images_of`.

    Raises:
        FileNotFoundError: a path that leads nowhere, or a pattern that nothing matches.
        ValueError: a folder or archive without images, or one that results are written into, which are images, too; an
            archive that is damaged, compressed, or not to be trusted; a data set without that column or split.
        ImportError: a video, and PyAV is missing.
    """
    paths = [path for one in given for path in _matches(one)]
    missing = [path for path in paths if not (is_remote(path) or Path(path).exists() or is_hub_name(path))]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FileNotFoundError(f"There is no image {missing[0]}{more}.")
    for path in paths:
        if is_remote(path):
            yield Picture(path, partial(str, path))
        elif Path(path).is_dir():
            if output_dir is not None and Path(path).resolve() == Path(output_dir).resolve():
                raise ValueError(f"{path} is to be read and written; name another folder for the results.")
            found = sorted(str(file) for file in Path(path).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
            yield from (Picture(file, partial(str, file)) for file in found)
            if not found:
                yield from _in_data(path, column, split)
        elif path.lower().endswith((*ARCHIVE_SUFFIXES, ".gz", ".tgz", ".bz2", ".xz")):
            yield from _in_archive(path)
        elif path.lower().endswith(VIDEO_SUFFIXES):
            video = VideoFrames(path)
            for number in range(0, len(video), every):
                yield Picture(f"{path}/{Path(path).stem}-{number:06}", partial(video.read, number))
        elif path.lower().endswith(DATA_SUFFIXES) or not Path(path).exists():
            yield from _in_data(path, column, split)
        else:
            yield Picture(path, partial(str, path))


def _matches(given: str) -> list[str]:
    """The files that a pattern means, in order; what is no pattern, or a file of that very name, as it is."""
    if is_remote(given) or Path(given).exists() or not glob.has_magic(given):
        return [given]
    known = (*IMAGE_SUFFIXES, *ARCHIVE_SUFFIXES, *VIDEO_SUFFIXES)
    found = sorted(path for path in glob.glob(given, recursive=True) if path.lower().endswith(known))
    if not found:
        raise FileNotFoundError(f"No image matches {given}.")
    return found


def _in_data(path: str, column: str, split: str | None) -> Iterator[Picture]:
    yield from (Picture(name, read) for name, read in images_of(path, column, split))


def _in_archive(path: str) -> Iterator[Picture]:
    if not path.lower().endswith(ARCHIVE_SUFFIXES):
        raise ValueError(f"{path} is compressed as a whole, so its images cannot be read one by one: unpack it first.")
    tree = open_tree(path, "")
    # a Mac's zip files hold a shadow of each picture
    names = [name for name in tree.names if name.lower().endswith(IMAGE_SUFFIXES)]
    names = [name for name in names if not PurePosixPath(name).name.startswith("._")]
    for name in _some(names, f"The archive {path}"):
        yield Picture(f"{path}/{name}", partial(tree.image, name))


def _some(found: list[str], place: str) -> list[str]:
    if not found:
        raise ValueError(f"{place} holds no images ({', '.join(IMAGE_SUFFIXES)}).")
    return found
