"""Scenes of emoji in the layout of PhraseCut's files, so that one reader serves both."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, features
from tqdm.auto import tqdm

from clipseg_hf._output_files import new_folder
from clipseg_hf.data.emoji_world.emoji_glyphs import EmojiConcept, GlyphSheet, load_concepts
from clipseg_hf.data.emoji_world.emoji_scenes import Scene, SceneSettings, draw_scene

SPLITS = ("train", "val", "test")
JPEG_QUALITY = 92
RECORD_FILE = "emoji_scenes.json"
LICENSE_FILE = "LICENSE.txt"
LICENSE_TEXT = """\
The pictures show emoji of the Noto Color Emoji font, Copyright Google LLC, licensed under the SIL Open Font License,
Version 1.1 (https://openfontlicense.org). Their names are those of Unicode CLDR, Copyright Unicode, Inc., licensed
under the Unicode License v3 (https://www.unicode.org/license.txt). Scenes, phrases and masks were drawn by clipseg-hf
and are licensed under the MIT licence.
"""


def write_scenes(
    output_dir: str | Path,
    *,
    train: int = 20000,
    val: int = 500,
    test: int = 500,
    seed: int = 0,
    font: str | Path | None = None,
    settings: SceneSettings = SceneSettings(),
    concepts: Sequence[str] | None = None,
    processes: int = 1,
) -> dict[str, int]:
    """Draw an emoji world and write it as PhraseCut's files: pictures, annotations, counts of words.

    Training scenes show seen concepts only, the other splits all concepts. The same arguments, font and library
    versions give the same bytes, whatever `processes` is; `emoji_scenes.json` records them.

    Args:
        output_dir: an empty or new folder.
        train, val, test: numbers of scenes.
        font: path of NotoColorEmoji.ttf, if it is not where systems put it.
        concepts: names of the concepts to draw, if not all.
        processes: how many draw at a time.

    Returns:
        The number of phrases of each split.

    Raises:
        FileExistsError: the folder has files already; nothing of it is touched.
        FileNotFoundError: there is no font; the message says how to install it.
        ValueError: a negative number of scenes, or a name that is no concept.
    """
    numbers = {"train": train, "val": val, "test": test}
    if wrong := {split: number for split, number in numbers.items() if number < 0}:
        raise ValueError(f"Numbers of scenes cannot be negative, got {wrong}.")
    folder = Path(output_dir)
    names = None if concepts is None else tuple(concepts)
    if unknown := sorted(set(names or ()) - {concept.name for concept in load_concepts()}):
        raise ValueError(f"No concepts of the emoji world: {', '.join(unknown)}; see `load_concepts()` for all names.")
    sheet = GlyphSheet(font)  # fails here rather than in a worker
    with new_folder(folder, "name a new folder for the scenes"):
        (folder / "images").mkdir()
        jobs = [
            _Job(folder, split, image_id, number, seed, str(sheet.path), settings, names)
            for image_id, (split, number) in enumerate(
                ((split, number) for split in SPLITS for number in range(numbers[split])), start=1
            )
        ]
        pictures, tasks = [], {split: [] for split in SPLITS}
        context = multiprocessing.get_context("spawn")
        pool = context.Pool(processes) if processes > 1 else None
        try:
            drawn = map(_draw, jobs) if pool is None else pool.imap(_draw, jobs, chunksize=16)
            for job, (picture, scene_tasks) in zip(jobs, tqdm(drawn, "scenes", len(jobs), unit="scene"), strict=True):
                pictures.append(picture)
                tasks[job.split].extend(scene_tasks)
        finally:
            if pool is not None:
                pool.terminate()

        for split in SPLITS:
            _write_json(folder / f"refer_{split}.json", tasks[split])
        _write_json(folder / "name_att_rel_count.json", _count_words(tasks["train"]))
        _write_json(folder / "image_data_split3000.json", pictures)
        (folder / LICENSE_FILE).write_text(LICENSE_TEXT, encoding="utf-8")
        record = {"seed": seed, "scenes": numbers, "concepts": names, "settings": asdict(settings)}
        record["versions"] = _versions(sheet)
        (folder / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        return {split: len(tasks[split]) for split in SPLITS}


@dataclass(frozen=True)
class _Job:
    folder: Path
    split: str
    image_id: int
    number: int
    seed: int
    font: str
    settings: SceneSettings
    concepts: tuple[str, ...] | None


_sheets: dict[str, GlyphSheet] = {}  # one per process: glyphs are drawn once


def _draw(job: _Job) -> tuple[dict, list[dict]]:
    """Draw and save one scene; its entry in the list of images, and its tasks."""
    sheet = _sheets.setdefault(job.font, GlyphSheet(job.font))
    generator = np.random.default_rng([job.seed, SPLITS.index(job.split), job.number])
    scene = draw_scene(generator, split_concepts(job.split, job.concepts), sheet, job.settings)
    height, width = scene.owner.shape
    path = job.folder / "images" / f"{job.image_id}.jpg"
    Image.fromarray(scene.image).save(path, quality=JPEG_QUALITY, subsampling=0)
    picture = {"image_id": job.image_id, "width": width, "height": height, "split": job.split}
    return picture, scene_tasks(scene, job.image_id)


def split_concepts(split: str, names: Sequence[str] | None = None) -> list[EmojiConcept]:
    """The concepts that a split's scenes show: the seen ones in training, else all; of `names`, if they are given."""
    return [
        concept
        for concept in load_concepts()
        if (concept.seen or split != "train") and (names is None or concept.name in names)
    ]


def scene_tasks(scene: Scene, image_id: int) -> list[dict]:
    """A scene's phrases as PhraseCut's tasks. A phrase none of whose things can be seen is left out."""
    polygons = {number: mask_to_polygons(scene.mask([number])) for number in range(len(scene.instances))}
    tasks = []
    for phrase in scene.phrases:
        shown = [number for number in phrase.instances if polygons[number]]
        if not shown:
            continue
        tasks.append(
            {
                "task_id": f"{image_id}__{len(tasks)}",
                "image_id": image_id,
                "ann_ids": [image_id * 100 + number for number in shown],
                "instance_boxes": [_polygons_box(polygons[number]) for number in shown],
                "Polygons": [polygons[number] for number in shown],
                "phrase": phrase.phrase,
                "phrase_structure": {
                    "name": phrase.name,
                    "attributes": list(phrase.attributes),
                    "relation_ids": [],
                    "relation_descriptions": [list(relation) for relation in phrase.relations],
                    "type": "relation" if phrase.relations else "attribute" if phrase.attributes else "name",
                },
            }
        )
    return tasks


def mask_to_polygons(mask: np.ndarray) -> list[list[list[int]]]:
    """Polygons that PhraseCut's rule (corners are pixel centres, outline included) fills to exactly this mask.

    PhraseCut's polygons have no holes, so a part with a hole is cut in two through the hole.

    Args:
        mask: (H, W) bool.

    Returns:
        Polygons of at least 3 corners [x, y]; none for an empty mask.
    """
    import cv2

    pixels = np.ascontiguousarray(mask, dtype=np.uint8)
    outlines, nesting = cv2.findContours(pixels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if not outlines:
        return []
    polygons = []
    for outline, (_, _, hole, parent) in zip(outlines, nesting[0], strict=True):
        if parent >= 0:
            continue  # the outline of a hole
        if hole < 0:
            corners = outline[:, 0].tolist()
            polygons.append((corners * 3)[:3] if len(corners) < 3 else corners)
            continue
        left, top, width, height = cv2.boundingRect(outline)
        filled = cv2.drawContours(np.zeros_like(pixels), [outline], 0, 1, cv2.FILLED)
        part = (filled & pixels).astype(bool)  # without its holes, but with what lies inside of them
        hole_left, _, hole_width, _ = cv2.boundingRect(outlines[hole])
        cut = min(max(hole_left + hole_width // 2, left + 1), left + width - 1)
        for side in (slice(left, cut), slice(cut, left + width)):
            half = np.zeros_like(part)
            half[top : top + height, side] = part[top : top + height, side]
            polygons.extend(mask_to_polygons(half))
    return polygons


def _polygons_box(polygons: Sequence) -> list[int]:
    points = np.array([point for polygon in polygons for point in polygon])
    (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
    return [left, top, right - left + 1, bottom - top + 1]


def _count_words(tasks: Iterable[dict]) -> dict[str, list[list]]:
    """How often names, attributes and relations occur, the most frequent first, as PhraseCut lists them."""
    counts = {"cat": Counter(), "att": Counter(), "rel": Counter()}
    for task in tasks:
        structure = task["phrase_structure"]
        counts["cat"][structure["name"]] += 1
        counts["att"].update(structure["attributes"])
        counts["rel"].update(predicate for predicate, _ in structure["relation_descriptions"])
    return {kind: [list(pair) for pair in counter.most_common()] for kind, counter in counts.items()}


def _versions(sheet: GlyphSheet) -> dict[str, str]:
    """What decides the bytes besides the arguments."""
    from clipseg_hf import __version__

    packages = {name: version(name) for name in ("numpy", "pillow", "opencv-python-headless")}
    libraries = {name: str(features.version(name)) for name in ("freetype2", "jpg")}
    digest = hashlib.sha256(sheet.path.read_bytes()).hexdigest()
    return {"clipseg-hf": __version__, **packages, **libraries, "font_sha256": digest}


def _write_json(path: Path, content) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
