"""Label Studio's JSON export: tasks with brush strokes and polygons."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from clipseg_hf.data.rows.file_trees import open_tree
from clipseg_hf.data.rows.fingerprints import digest
from clipseg_hf.data.rows.flaws import BuildSummary
from clipseg_hf.data.rows.json_stream import iterate_list, json_ends, read_element
from clipseg_hf.data.rows.row_source import in_shards, is_image_name
from clipseg_hf.data.sources.annotation_tools.shapes import AnnotatedImage, ImageFinder, Shape, ShapeFiles
from clipseg_hf.data.sources.coco_annotations import read_segmentation
from clipseg_hf.data.sources.splits import by_official_order, split_in_name
from clipseg_hf.processing.masks.brush_rle import decode_brush
from clipseg_hf.processing.masks.rle import encode_rle

LAYOUT = "Label Studio's export as JSON (not JSON-MIN) and its images"
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # what Label Studio puts before the name of a file


class Task(NamedTuple):
    """A task, where it stands in the file, and its image."""

    file: str
    place: tuple[int, int]
    task_id: str
    image: str


class LabelStudioFiles(ShapeFiles):
    """A JSON export of Label Studio with its images: brush strokes (run lengths) and polygons.

    Of several annotations of a task the one marked as ground truth counts, else the one that was last changed; those
    that were cancelled do not. Images are found by the end of their path or address, with or without the eight digits
    that Label Studio puts before the names of uploads.

    Args:
        path: The JSON file, or the folder that holds it, or one for each split, told by its name ("train.json").
        images: The folder of the images, if not in the same folder.
        predictions: Take the predictions of tasks without annotations.
        unpack_dir: Where files of archives go that have to be unpacked.

    Raises:
        FileNotFoundError: there is no such file, or there are no images.
    """

    name = "label_studio"
    description = "Images with annotations of Label Studio."

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        images: str | os.PathLike | None = None,
        predictions: bool = False,
        unpack_dir: str | os.PathLike,
    ):
        path = Path(path).expanduser()
        root = path.parent if path.is_file() else path
        self.tree = open_tree(root, unpack_dir)
        self.image_tree = self.tree if images is None else open_tree(Path(root, images).expanduser(), unpack_dir)
        self.predictions = predictions
        names = [name for name in self.tree.names if name.endswith(".json")]
        names = [path.name] if path.is_file() else [n for n in names if is_label_studio(self.tree.local_file(n))]
        self._files: dict[str, list[str]] = {}
        for name in names:
            self._files.setdefault(split_in_name(name) or "train", []).append(name)
        if not names:
            raise FileNotFoundError(f"There is no JSON export of Label Studio in {root}. Expected {LAYOUT}.")
        self._finder = ImageFinder(self.image_tree, LAYOUT)

    @property
    def splits(self) -> tuple[str, ...]:
        return by_official_order(self._files)

    def fingerprint(self) -> str:
        trees = [part for tree in (self.tree, self.image_tree) for part in (str(tree), tree.fingerprint)]
        return digest(self.name, repr(self._files), str(self.predictions), *trees)

    def shards(self, split: str, summary: BuildSummary) -> list[list[Task]]:
        tasks: list[Task] = []
        for name in self._files[split]:
            path = self.tree.local_file(name)
            with path.open("rb") as file:
                for task, start, end in iterate_list(file, path):
                    where = f"byte {start} of {name}"
                    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                        summary.note("malformed_entry", f"{where} (no `data`)")
                        continue
                    where = f"task {task.get('id', where)}"
                    image = self._image_of(task["data"], str(PurePosixPath(name).parent), where, summary)
                    if image is not None:
                        task_id = str(task.get("id", f"{PurePosixPath(name).stem}-{start}"))
                        tasks.append(Task(name, (start, end), task_id, image))
        if len(self._files) == 1:
            for image in sorted(set(self._finder.names) - {task.image for task in tasks}):
                summary.note("no_annotation", image)
        return in_shards(tasks)

    def _image_of(self, data: dict, folder: str, where: str, summary: BuildSummary) -> str | None:
        paths = [path for value in data.values() if isinstance(value, str) and (path := path_in(value))]
        folder = folder if self.image_tree is self.tree else ""
        for path in paths:
            uploaded = _UPLOADED.fullmatch(PurePosixPath(path).name)
            for wanted in [path, uploaded[1]] if uploaded else [path]:
                if found := self._finder.find(wanted, folder, where, BuildSummary()):
                    return found
        if not paths:
            summary.note("malformed_entry", f"{where} (its data names no image)")
        else:
            self._finder.find(paths[0], folder, where, summary)
        return None

    def annotated(self, split: str, shard: list[Task], summary: BuildSummary) -> Iterator[AnnotatedImage]:
        for item in shard:
            with self.tree.local_file(item.file).open("rb") as file:
                task = read_element(file, *item.place)
            results = self._results(task)
            if not results:
                summary.note("no_annotation", f"{item.image} (task {item.task_id})")
                continue
            said = next(((r.get("original_height"), r.get("original_width")) for r in results), (None, None))
            size = said if all(isinstance(side, int) and side > 0 for side in said) else None
            yield AnnotatedImage(item.task_id, self.image_tree.image(item.image), item.image, size, results)

    def _results(self, task: dict) -> list[dict]:
        """The regions of the annotation that counts."""
        given = [one for one in task.get("annotations") or () if isinstance(one, dict) and not one.get("was_cancelled")]
        if not given and self.predictions:
            given = [one for one in task.get("predictions") or () if isinstance(one, dict)]
        if not given:
            return []
        chosen = max(given, key=lambda one: (bool(one.get("ground_truth")), str(one.get("updated_at") or "")))
        return [result for result in chosen.get("result") or () if isinstance(result, dict)]

    def shapes(self, item: AnnotatedImage, size: tuple[int, int], summary: BuildSummary) -> Iterable[Shape]:
        named = {result.get("id") for result in item.content if _labels(result)}
        for result in item.content:
            where, labels, value = f"region {result.get('id')} of {item.where}", _labels(result), result.get("value")
            if not isinstance(value, dict) or not {"rle", "points"} & value.keys():
                if labels and isinstance(value, dict) and {"x", "y"} <= value.keys():
                    summary.note("no_outline", where)
                continue  # a choice or a text says nothing of pixels
            if not labels:
                if result.get("id") not in named:  # else another result of that region has its labels
                    summary.note("empty_phrase", where)
                continue
            try:
                if "rle" in value:
                    mask = encode_rle(decode_brush(value["rle"], size))
                else:
                    height, width = size
                    corners = [side for x, y in value["points"] for side in (x / 100 * width, y / 100 * height)]
                    mask = read_segmentation([corners], height, width, where, summary)
            except (TypeError, ValueError) as error:
                summary.note("malformed_entry", f"{where} ({error})")
                continue
            if mask is not None:
                yield from (Shape(label, mask) for label in labels)


def path_in(text: str) -> str:
    """The path that a task's image has: of an address without its host, of `/data/local-files/?d=...` what it says;
    "" where it is not an image's."""
    address = urlsplit(text)
    path = (parse_qs(address.query).get("d") or [unquote(address.path) if address.scheme else text])[0]
    path = path.split("?")[0]
    return path.lstrip("/") if is_image_name(path) else ""


def is_label_studio(path: Path) -> bool:
    """Whether a JSON file looks like an export: a list of tasks."""
    begins, ends = json_ends(path)
    return begins == b"[" and b'"data"' in ends and any(key in ends for key in (b'"annotations"', b'"predictions"'))


def _labels(result: dict) -> list[str]:
    """What a region shows: the names in `brushlabels`, `polygonlabels`, `labels` or the like."""
    value = result.get("value")
    lists = [v for key, v in value.items() if key.endswith("labels")] if isinstance(value, dict) else []
    return [str(label) for given in lists if isinstance(given, list) for label in given]
