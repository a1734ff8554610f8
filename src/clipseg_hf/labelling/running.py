"""A whole run: from pictures and prompts to labels."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from tqdm.auto import tqdm

from clipseg_hf._counted import counted
from clipseg_hf._output_files import refuse_file
from clipseg_hf.inference.inputs.model_files import digest_files
from clipseg_hf.inference.prompt_reading import read_prompts
from clipseg_hf.inference.segmenter import Segmenter
from clipseg_hf.labelling.labeller import Job, Labeller
from clipseg_hf.labelling.manifest import Settings, known_digest, start_or_go_on
from clipseg_hf.labelling.merging import merge
from clipseg_hf.labelling.model_digests import digest_model
from clipseg_hf.labelling.pictures import open_pictures
from clipseg_hf.labelling.processes import label_by_processes
from clipseg_hf.labelling.ray_engine import label_by_ray
from clipseg_hf.labelling.review import write_review
from clipseg_hf.labelling.shards import SHARDS, missing_shards, read_rows
from clipseg_hf.labels import LABEL_FORMATS
from clipseg_hf.labels.georeference import check_georeferences
from clipseg_hf.modeling.model_names import find_model, portable_name
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.masks.operations import MaskOperations
from clipseg_hf.processing.thresholds import threshold_of_each

CHECKED = 100  # pictures whose place on earth is looked for before any is labelled


@dataclass(frozen=True)
class Labelled:
    """What a run has made.

    Attributes:
        folder: where it is; `read_rows` reads the rows in it.
        pictures: how many were labelled.
        broken: why a picture could not be read, by its name.
        labels: the folder of each format that was asked for.
        review: the page, where one was asked for.
    """

    folder: Path
    pictures: int
    broken: dict[str, str]
    labels: dict[str, Path]
    review: Path | None = None


def label_pictures(
    data: str | os.PathLike,
    prompts: str | Sequence[str],
    folder: str | os.PathLike,
    *,
    model: str,
    formats: Sequence[str] = (),
    threshold: float | None = None,
    operations: MaskOperations = MaskOperations(),
    guided_filter: GuidedFilter | None = None,
    min_presence: float | None = None,
    column: str = "image",
    license: str | None = None,
    review: int = 0,
    shard_size: int = 64,
    processes: int = 1,
    engine: Literal["processes", "ray"] = "processes",
    device: str | None = None,
    echo: Callable[[str], None] = print,
) -> Labelled:
    """Ask every picture for every prompt, in shards, and go on where an earlier run was cut off.

    A run that was killed, whenever that was, ends with the same rows as one that was not. A picture that cannot be read
    is left out and told at the end.

    Args:
        data: a folder of images (also in folders below it), one with Parquet files, one that `datasets` saved, or a
            name on the Hub.
        prompts: one or several, as `parse_prompt` reads them.
        folder: made if need be; gets `shards/`, the run's manifest, and a folder for each format.
        model: see `find_model`.
        formats: of `LABEL_FORMATS`; labels of all pictures are written in each at the end, without what is absent.
        threshold, operations, guided_filter: see `segment_files`.
        min_presence: see `labelled`.
        column: of the images, in a data set.
        license: of the pictures, for the labels.
        review: of so many labels, those that are least sure, a page is written, see `write_review`; 0: none.
        shard_size: pictures in a shard: what is lost when a process is killed.
        processes: more than 1 are processes of one thread each, on this machine. A script that asks for them has to
            do so under `if __name__ == "__main__":`. For Ray, the number of actors.
        engine: "ray" runs on the cluster that this program belongs to, see `label_by_ray`.
        device: see `Segmenter.from_pretrained`.
        echo: takes each line of the report.

    Raises:
        ImportError: Ray is missing.
        FileExistsError: the folder is a file.
        FileNotFoundError, ConnectionError: the data or the model is not there.
        ValueError: the folder holds a run with other settings, or something else; no such format; no images; an empty
            prompt, or one that is there twice; a threshold outside of [0, 1]; for GeoJSON, pictures that are not
            georeferenced.
        RuntimeError: see `label_by_processes`, `label_by_ray`.
    """
    if unknown := [name for name in formats if name not in LABEL_FORMATS]:
        raise ValueError(f"Labels are written as {', '.join(LABEL_FORMATS)}; got {', '.join(unknown)}.")
    for name, number in (("shard_size", shard_size), ("processes", processes)):
        if number < 1:
            raise ValueError(f"{name} is at least 1, got {number}.")
    if engine not in ("processes", "ray"):
        raise ValueError(f"engine is 'processes' or 'ray', got {engine!r}.")
    if engine == "ray" and find_spec("ray") is None:
        raise ImportError("The engine ray needs Ray Data: pip install 'clipseg-hf[ray]'.")
    if review < 0:
        raise ValueError(f"review is a number of labels to look at, 0 for none; got {review}.")
    prompts, folder = _check_prompts(prompts), Path(folder)
    refuse_file(folder)
    if threshold is not None:
        threshold_of_each(threshold, len(prompts))
    if not 0 <= (min_presence or 0) <= 1:
        raise ValueError(f"min_presence is a probability in [0, 1], got {min_presence}.")
    labels = [str(prompt.label) for prompt in read_prompts(prompts)]
    pictures = open_pictures(data, column, without=folder)
    if "geojson" in formats:  # of very many, the first alone: what is wrong with all is known at once
        first = range(min(len(pictures.names), CHECKED))
        check_georeferences((pictures.image(number), pictures.names[number]) for number in first)
    found, segmenter = find_model(model), None
    model_files = digest_files(found)
    if (model_digest := known_digest(folder, model_files)) is None:
        # here first: it may be downloaded
        segmenter = Segmenter.from_pretrained(found, device=device, guided_filter=guided_filter)
        model_digest, model_files = digest_model(segmenter), model_files or digest_files(found)
    settings = Settings(model_digest, prompts, threshold, operations, shard_size, guided_filter)
    matrix_code = start_or_go_on(folder, settings, pictures, portable_name(model), model_files)
    job = Job(folder.absolute(), settings, pictures, found, device, matrix_code)
    missing = missing_shards(folder, job.shards)
    if missing and len(missing) < job.shards:
        echo(f"{job.shards - len(missing)} of {counted(job.shards, 'shard')} are there from an earlier run.")
    started = time.perf_counter()
    todo = sum(len(job.numbers(shard)) for shard in missing)
    with tqdm(
        total=len(pictures.names), initial=len(pictures.names) - todo, desc="label", unit="image", disable=None
    ) as bar:
        if engine == "processes" and processes == 1:
            if missing:
                _label_here(job, missing, segmenter, bar)
        else:
            del segmenter
            label = label_by_ray if engine == "ray" else label_by_processes
            for shard in label(job, missing, processes):
                bar.update(len(job.numbers(shard)))
    if todo:
        speed = todo * len(prompts) / (time.perf_counter() - started)
        echo(f"{counted(todo, 'picture')} x {counted(len(prompts), 'prompt')}: {speed:.1f} a second.")
    return _finish(job, folder, labels, formats, min_presence, license, review, portable_name(model), echo)


def _label_here(job: Job, shards: Sequence[int], segmenter: Segmenter | None, bar: tqdm) -> None:
    labeller = Labeller(job, segmenter)
    for shard in shards:
        labeller(shard, bar.update)


def _check_prompts(prompts: str | Sequence[str]) -> tuple[str, ...]:
    """Refuse what a run could not tell apart, before its folder says what it is about."""
    given = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not all(isinstance(prompt, str) and prompt.strip() for prompt in given):
        raise ValueError(f"Prompts are texts, none of them empty; got {', '.join(map(repr, given))}.")
    if twice := [prompt for prompt, times in Counter(given).items() if times > 1]:
        raise ValueError(
            f"Prompts are asked once each; several times there {'is' if len(twice) == 1 else 'are'} "
            f"{', '.join(map(repr, twice))}."
        )
    return given


def _finish(job, folder, labels, formats, min_presence, license, review, model, echo) -> Labelled:
    written = {}
    for format in formats:
        options = {"min_presence": min_presence, "model": model, "license": license}
        written[format] = merge(folder, job.pictures, format, labels, **options)
        echo(f"Labels as {format} are in {written[format]}.")
    page = write_review(folder, job.pictures, review) if review else None
    if page:
        echo(f"What to look at first is in {page}.")
    rows = read_rows(folder, ["image", "error"])
    broken = {row["image"]: row["error"] for row in rows if row["error"] is not None}
    labelled = len(job.pictures.names) - len(broken)
    echo(f"The rows of {counted(labelled, 'picture')} are in {folder / SHARDS}.")
    for line in _tell_broken(broken):
        echo(line)
    return Labelled(folder, labelled, broken, written, page)


def _tell_broken(broken: dict[str, str], limit: int = 20) -> Iterator[str]:
    if broken:
        yield f"{counted(len(broken), 'picture')} could not be read:"
    for number, (name, error) in enumerate(broken.items()):
        if number == limit:
            yield f"  and {len(broken) - limit} more: the rows with an error"
            break
        yield f"  {error if name in error else f'{name}: {error}'}"
