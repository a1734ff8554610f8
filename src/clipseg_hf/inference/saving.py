"""Results as files: masks, overlays, heat maps, JSON; no two of them under one name."""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

import numpy as np
from PIL import Image

from clipseg_hf._version import __version__
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.labels.index_masks import label_map_image

FORMS = ("masks", "overlay", "json", "heatmaps", "cutouts", "soft", "soft16")
DEFAULT_FORMS = ("masks", "overlay", "json")
_DEPTHS = {"soft": (np.uint8, 255), "soft16": (np.uint16, 65535)}
_OWN_NAMES = ("overlay", "labels", "heat", "cutout", *_DEPTHS)
_REMOTE = ("http://", "https://", "data:")
_STEM_BYTES, _SLUG_BYTES = 120, 90  # file systems take 255


class ResultWriter:
    """Writes the results of some images into one folder.

    For an image `x.jpg` and the prompt "a cat": `x_a-cat.png` (the mask, 0 or 255, at the image's own size; for
    semantic results instead `x_labels.png`, whose pixels are 0 for background and n for the n-th prompt),
    `x_overlay.png`, `x_a-cat_heat.png`, `x_a-cat_cutout.png`, `x_a-cat_soft.png` and `x_a-cat_soft16.png` (the
    probabilities, from 0 to 255 and to 65535) and `x.json`. Where a name is taken - by an image of the
    same name from another folder, by results of another question, by one of the images themselves - the next free one
    is used: `x-2.json`.
    Results of an earlier run are those of the same question where their JSON names the same image of as many bytes,
    model, files of it, and `asked`.

    Args:
        folder: made if need be.
        images: paths or URLs of the images, in the order of their results.
        labels: of the prompts.
        forms: which of `FORMS` to write.
        semantic: results are semantic maps.
        overwrite: replace the results of earlier runs, under the same names; what else their JSON names goes.
        model: name, for the JSON.
        model_files: what stands for its files, if that is known.
        objects: the JSON lists the connected parts of each mask.
        asked: all else that makes up the question, as JSON can hold it, for the JSON; None: no results answer it.

    Attributes:
        files: for each image, form -> path, or one path for each prompt.
        is_done: for each image, whether an earlier run answered the same question and wrote all of these files.

    Raises:
        ValueError: an unknown form.
    """

    def __init__(
        self,
        folder: str | Path,
        images: Sequence[str | Path],
        labels: Sequence[str],
        *,
        forms: Iterable[str] = DEFAULT_FORMS,
        semantic: bool = False,
        overwrite: bool = False,
        model: str | None = None,
        model_files: str | None = None,
        asked: Mapping[str, Any] | None = None,
        objects: bool = False,
    ):
        self.folder, self.images, self.semantic = Path(folder), [str(image) for image in images], semantic
        self.objects, self.overwrite = objects, overwrite
        asked = None if asked is None else dict(asked)
        self.question = {"model": model, "model_files": model_files, "asked": asked}
        self.forms = tuple(forms)
        if unknown := [form for form in self.forms if form not in FORMS]:
            raise ValueError(f"What can be saved is {', '.join(FORMS)}; got {', '.join(unknown)}.")
        slugs = list(_unique(map(_slug, labels), lambda slug, number: slug not in _OWN_NAMES))
        is_free = self._is_free(slugs, overwrite)
        self.files = [self._plan(stem, slugs) for stem in _unique(map(_stem, self.images), is_free)]
        written = (path for files in self.files for path in _flat(files.values()))
        self._in_use = {path.resolve() for path in written} | self._sources() if overwrite else set()
        self.is_done = [
            not overwrite and self._answers(files, number) and all(path.exists() for path in _flat(files.values()))
            for number, files in enumerate(self.files)
        ]

    def _plan(self, stem: str, slugs: Sequence[str]) -> dict[str, Any]:
        names: dict[str, str | list[str]] = {}
        if "masks" in self.forms:
            names["masks"] = f"{stem}_labels.png" if self.semantic else [f"{stem}_{slug}.png" for slug in slugs]
        if "overlay" in self.forms:
            names["overlay"] = f"{stem}_overlay.png"
        if "heatmaps" in self.forms:
            names["heatmaps"] = [f"{stem}_{slug}_heat.png" for slug in slugs]
        if "cutouts" in self.forms:
            names["cutouts"] = [f"{stem}_{slug}_cutout.png" for slug in slugs]
        for form in _DEPTHS:
            if form in self.forms:
                names[form] = [f"{stem}_{slug}_{form}.png" for slug in slugs]
        if "json" in self.forms:
            names["json"] = f"{stem}.json"
        return {
            form: [self.folder / name for name in given] if isinstance(given, list) else self.folder / given
            for form, given in names.items()
        }

    def _is_free(self, slugs: Sequence[str], overwrite: bool) -> Callable[[str, int], bool]:
        """Whether results of an image under a stem would replace nothing that is to stay."""
        sources = self._sources()

        def is_free(stem: str, number: int) -> bool:
            files = self._plan(stem, slugs)
            paths = list(_flat(files.values()))
            if any(path.resolve() in sources for path in paths):
                return False
            return overwrite or not any(path.exists() for path in paths) or self._answers(files, number)

        return is_free

    def _sources(self) -> set[Path]:
        return {Path(image).resolve() for image in self.images if not is_remote(image)}

    def _answers(self, files: dict, number: int) -> bool:
        """Whether the JSON that is there answers the question that is asked of this image."""
        if self.question["asked"] is None or "json" not in files or not files["json"].is_file():
            return False
        record, image = _read(files["json"]), self.images[number]
        expected = {"image_bytes": _bytes(image), **self.question}
        if any(record.get(name) != value for name, value in expected.items()):
            return False
        return _place(record.get("image")) == _place(image)

    def write(self, number: int, result: Segmentation) -> list[Path]:
        """Write the result of image `number`; -> what was written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = self.files[number]
        if self.overwrite:
            self._remove_earlier(number)
        if "masks" in files and self.semantic:
            label_map_image(cast(np.ndarray, result.label_map)).save(files["masks"])
        elif "masks" in files:
            for prompt, path in enumerate(files["masks"]):
                Image.fromarray(np.round(result.soft_mask(prompt) * 255).astype(np.uint8)).save(path)
        if "overlay" in files:
            result.overlay().save(files["overlay"])
        for prompt, path in enumerate(files.get("heatmaps", ())):
            result.heat_map(prompt).save(path)
        for prompt, path in enumerate(files.get("cutouts", ())):
            result.cutout(prompt).save(path)
        for form, (depth, most) in _DEPTHS.items():
            for prompt, path in enumerate(files.get(form, ())):
                Image.fromarray(np.round(result.probabilities(prompt) * most).astype(depth)).save(path)
        if "json" in files:
            text = json.dumps(self._record(number, result), indent=2, ensure_ascii=False)
            files["json"].write_text(text + "\n", encoding="utf-8")
        return list(_flat(files.values()))

    def _remove_earlier(self, number: int) -> None:
        """Remove what the JSON that is going to be replaced names, where this run neither reads nor writes it."""
        record = self.files[number].get("json")
        named = _read(record).get("files") if record is not None and record.is_file() else None
        for name in named if isinstance(named, list) else ():
            if isinstance(name, str) and name == Path(name).name and (self.folder / name).resolve() not in self._in_use:
                (self.folder / name).unlink(missing_ok=True)

    def _record(self, number: int, result: Segmentation) -> dict:
        files, record = self.files[number], result.to_dict(self.objects)
        if self.semantic and "masks" in files:
            record = {"label_map_file": files["masks"].name} | record
        for prompt, entry in enumerate(record["prompts"]):
            if self.semantic:
                entry["number"] = prompt + 1
            elif "masks" in files:
                entry["mask_file"] = files["masks"][prompt].name
        image, names = self.images[number], [path.name for path in _flat(files.values())]
        about = {"image": image, "image_bytes": _bytes(image), **self.question, "clipseg_hf": __version__}
        return about | {"files": names} | record


def _flat(paths: Iterable[Path | list[Path]]) -> Iterator[Path]:
    for path in paths:
        yield from path if isinstance(path, list) else (path,)


def _read(path: Path) -> dict:
    """The JSON of some results; nothing where it is cut off, or something else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _bytes(image: str) -> int | None:
    """The size of an image's file; None if it is none of its own."""
    return os.path.getsize(image) if not is_remote(image) and os.path.isfile(image) else None


def is_remote(image: str) -> bool:
    """Whether an image is not a file but a URL, or inside of one."""
    return image.startswith(_REMOTE)


def _stem(image: str) -> str:
    if is_remote(image):
        image = "" if image.startswith("data:") else unquote(urlparse(image).path)
    return _cut(Path(image).stem, _STEM_BYTES) or "image"


def _slug(label: str) -> str:
    """Letters and digits of any script, joined by hyphens."""
    return _cut("-".join(re.findall(r"[^\W_]+", label.casefold())), _SLUG_BYTES) or "prompt"


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


def _place(image: str | None) -> str | None:
    return image if image is None or is_remote(image) else os.path.abspath(image)


def _unique(names: Iterable[str], is_free: Callable[[str, int], bool]) -> Iterator[str]:
    """The names, with -2, -3, ... where one is not free for its owner or was there before; upper and lower case are the
    same."""
    used = set()
    for owner, name in enumerate(names):
        candidate, number = name, 1
        while candidate.casefold() in used or not is_free(candidate, owner):
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate.casefold())
        yield candidate
