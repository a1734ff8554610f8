"""Reads PhraseCut's official files into rows.

The layout, as its authors distribute it (github.com/ChenyunWu/PhraseCutDataset) and as the emoji world is written:

    image_data_split3000.json   (or image_data_split.json) the images: image_id, height, width, ...
    refer_<split>.json          the tasks: task_id, image_id, phrase, phrase_structure, Polygons, instance_boxes
    images/<image_id>.jpg

The images may be elsewhere, as those have them who own Visual Genome (VG_100K and VG_100K_2), and each part may be a
directory, a zip or a tar file. Nothing is downloaded.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from clipseg_hf.data.phrasecut.phrasecut_tasks import make_task_phrase
from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest, digest_file
from clipseg_hf.data.rows.flaws import NOT_AS_EXPECTED, BuildSummary
from clipseg_hf.data.rows.frames import Frame, turn_phrase
from clipseg_hf.data.rows.json_stream import Repeats, iterate_list, read_element
from clipseg_hf.data.rows.row_source import RowSource, check_image, in_shards, is_image_name, shorten
from clipseg_hf.data.rows.rows import make_row

# fmt: off
KNOWN_WRONG_SIZE = frozenset((
    150417, 285665, 498246, 61564, 285743, 498269, 498010, 150516, 150344, 286093, 61530, 150333, 286065, 285814,
    498187, 285761, 498042,
))
# fmt: on
"""The 17 images whose annotations are of another size than the image; the original leaves them out too."""

IMAGE_LISTS = ("image_data_split3000.json", "image_data_split.json")
_TASKS = re.compile(r"refer_(?!input_)(\w+)\.json")  # refer_input_<split>.json has no masks


class ImageTasks(NamedTuple):
    """One image and the bytes at which its tasks stand in the annotation file, each with the number of those before it
    that bear the same id."""

    image_id: int
    tasks: list[tuple[int, int, int]]


class PhraseCutFiles(RowSource):
    """PhraseCut's files as a source of rows.

    Args:
        data_dir: Where the annotations and `images/` are: a directory, a zip or a tar file.
        annotations_dir: Where the annotations are, if not in `data_dir`.
        images_dir: Where the images are, if not in `data_dir`; one place or several. An image is found by its name
            `<image_id>.jpg` (or .png, ...) in whatever folder.
        unpack_dir: Where files go that archives have to be unpacked to.

    Raises:
        FileNotFoundError: a place does not exist, or lacks the annotations or the images.
    """

    name = "phrasecut"
    description = "PhraseCut: phrases and the regions of Visual Genome images that they name."

    def __init__(
        self,
        data_dir: str | os.PathLike,
        annotations_dir: str | os.PathLike | None = None,
        images_dir: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
        *,
        unpack_dir: str | os.PathLike,
    ):
        if images_dir is None:
            images_dir = [data_dir]
        elif isinstance(images_dir, (str, os.PathLike)):
            images_dir = [images_dir]
        self.annotations = open_tree(annotations_dir or data_dir, unpack_dir)
        self.image_trees = [open_tree(place, unpack_dir) for place in images_dir]
        by_name = {PurePosixPath(name).name: name for name in reversed(self.annotations.names)}
        self._image_list = next((by_name[name] for name in IMAGE_LISTS if name in by_name), None)
        self._task_files = {m[1]: by_name[name] for name in sorted(by_name) if (m := _TASKS.fullmatch(name))}
        self._check_layout()
        if "emoji_scenes.json" in by_name:  # what the emoji world writes besides
            self.description = "Scenes of emoji, drawn by clipseg-hf, with phrases and masks true to the pixel."

    @property
    def splits(self) -> tuple[str, ...]:
        official = [split for split in ("train", "val", "test", "miniv") if split in self._task_files]
        return (*official, *(split for split in self._task_files if split not in official))

    def fingerprint(self) -> str:
        names = [self._image_list, *self._task_files.values()]
        content = [digest_file(self.annotations.local_file(name)) for name in names]
        images = [part for tree in self.image_trees for part in (str(tree), tree.fingerprint)]  # rows hold their paths
        return digest("phrasecut", *names, *content, *images)

    def shards(self, split: str, summary: BuildSummary) -> list[list[ImageTasks]]:
        """Walk once through the split's tasks, to know which belong to which image; rows come in order of the images'
        first tasks."""
        path = self.annotations.local_file(self._task_files[split])
        by_image: dict[int, list[tuple[int, int, int]]] = {}
        with path.open("rb") as file, path.open("rb") as again:
            repeats = Repeats(again)
            for task, start, end in iterate_list(file, path):
                if not isinstance(task, dict) or "task_id" not in task or not isinstance(task.get("image_id"), int):
                    summary.note("malformed_entry", f"byte {start} of {path.name} (no task_id, or no number image_id)")
                elif task["image_id"] not in self._images:
                    summary.note("unknown_image", f"task {task['task_id']}")
                elif (others := repeats.add(str(task["task_id"]), task, (start, end))) is None:
                    summary.note("duplicate_id", f"task {task['task_id']}")
                else:
                    if others:
                        summary.note("reused_id", f"task {task['task_id']}")
                    by_image.setdefault(task["image_id"], []).append((start, end, others))
        for image_id, (_, listed_for) in self._images.items():
            if listed_for == split and image_id not in by_image:
                summary.note("no_annotation", f"image {image_id}")
        for image_id in KNOWN_WRONG_SIZE & by_image.keys():
            summary.note("known_wrong_size", f"image {image_id}")
            del by_image[image_id]
        return in_shards([ImageTasks(image_id, tasks) for image_id, tasks in by_image.items()])

    def rows(self, split: str, shard: list[ImageTasks], summary: BuildSummary) -> Iterator[dict[str, Any]]:
        with self.annotations.local_file(self._task_files[split]).open("rb") as file:
            for image_id, places in shard:
                found = self._find_image(image_id, summary)
                if found is None:
                    continue
                image, frame = found
                height, width = annotated = self._images[image_id][0]
                orientation = 1 if annotated == frame.size else frame.orientation
                tasks = (_with_own_id(read_element(file, start, end), others) for start, end, others in places)
                phrases = [make_task_phrase(task, height, width, summary) for task in tasks]
                phrases = [turn_phrase(phrase, orientation) for phrase in phrases if phrase is not None]
                yield make_row(image, str(image_id), frame.size, phrases)

    def _find_image(self, image_id: int, summary: BuildSummary) -> tuple[dict[str, Any], Frame] | None:
        if str(image_id) not in self._image_files:
            summary.note("missing_image", f"image {image_id}")
            return None
        tree, name = self._image_files[str(image_id)]
        image = self.image_trees[tree].image(name)
        frame = check_image(image, f"image {image_id} ({name})", summary, self._images[image_id][0])
        return None if frame is None else (image, frame)

    @cached_property
    def _images(self) -> dict[int, tuple[tuple[int, int], str]]:
        """By image_id, the (height, width) and the split, "" where the list names none."""
        path = self.annotations.local_file(self._image_list)
        images = {}
        with path.open("rb") as file:
            for entry, start, _ in iterate_list(file, path):
                try:
                    size = (int(entry["height"]), int(entry["width"]))
                    images[int(entry["image_id"])] = (size, str(entry.get("split") or ""))
                except NOT_AS_EXPECTED:
                    raise ValueError(
                        f"{path}, byte {start}: expected an image with numbers image_id, height and width, "
                        f"found {str(entry)[:200]}."
                    ) from None
        return images

    @cached_property
    def _image_files(self) -> dict[str, tuple[int, str]]:
        """Where each image is, by its name without suffix: (which tree, name there); `images/` goes before others."""
        files: dict[str, tuple[int, str]] = {}
        for number, tree in enumerate(self.image_trees):
            for name in sorted(tree.names, key=lambda name: ("images" not in PurePosixPath(name).parts, name)):
                if is_image_name(name):
                    files.setdefault(PurePosixPath(name).stem, (number, name))
        return files

    def _check_layout(self) -> None:
        missing = [] if self._image_list else [" or ".join(IMAGE_LISTS)]
        if not self._task_files:
            missing.append("refer_train.json, refer_val.json, refer_test.json or refer_miniv.json")
        if missing:
            raise FileNotFoundError(
                f"{self.annotations} does not hold PhraseCut's annotations. Missing: {'; '.join(missing)}. "
                f"Found: {shorten(self.annotations.names)}. If they are elsewhere, say where with annotations_dir."
            )
        if not self._image_files:
            places = ", ".join(map(str, self.image_trees))
            found = shorten([name for tree in self.image_trees for name in tree.names])
            raise FileNotFoundError(
                f"There are no images in {places}. Expected images/<image_id>.jpg, found: {found}. "
                "If they are elsewhere (Visual Genome's VG_100K and VG_100K_2), say where with images_dir."
            )


def _with_own_id(task: dict, others: int) -> dict:
    """The task, with a number behind its id where others bear it."""
    return {**task, "task_id": f"{task['task_id']}__{others + 1}"} if others else task
