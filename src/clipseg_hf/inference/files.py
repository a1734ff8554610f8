"""Files in, files out: what `clipseg-hf segment` and `convert` do."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from clipseg_hf._output_files import new_folder, refuse_file
from clipseg_hf.inference.inputs.listing import Picture, list_pictures
from clipseg_hf.inference.inputs.model_files import digest_files
from clipseg_hf.inference.labelling import write_found
from clipseg_hf.inference.prompt_reading import OWN_SHARE
from clipseg_hf.inference.prompts import Combination, Prompt
from clipseg_hf.inference.saving import DEFAULT_FORMS, ResultWriter
from clipseg_hf.inference.segmenter import Segmenter
from clipseg_hf.inference.tiling.bands import open_bands
from clipseg_hf.inference.tiling.settings import Tiling
from clipseg_hf.labels import LABEL_FORMATS
from clipseg_hf.labels.georeference import check_georeferences
from clipseg_hf.modeling.conversion import convert_original_checkpoint
from clipseg_hf.modeling.model_names import find_model, resolve_name
from clipseg_hf.processing import CLIPSegProcessor, load_image
from clipseg_hf.processing.images import ImageLike
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.masks.operations import MaskOperations
from clipseg_hf.processing.visual_prompts import IMAGENET_MEAN, IMAGENET_STD


def segment_files(
    images: Sequence[str],
    prompts: Sequence[Prompt | Combination],
    output_dir: str | Path,
    *,
    model: str,
    threshold: float | None = None,
    semantic: bool = False,
    operations: MaskOperations = MaskOperations(),
    objects: bool = False,
    tiling: Tiling | None = None,
    guided_filter: GuidedFilter | None = None,
    every: int = 1,
    column: str = "image",
    split: str | None = None,
    forms: Iterable[str] = DEFAULT_FORMS,
    label_formats: Sequence[str] = (),
    license: str | None = None,
    overwrite: bool = False,
    device: str | None = None,
    echo: Callable[[str], None] = print,
) -> list[Path]:
    """Ask image files for prompts and write what is found; what cannot work is said before anything is loaded.

    Args:
        images: see `list_pictures`.
        every: take each n-th frame of videos.
        column, split: of data sets, see `list_pictures`.
        prompts: asked of every image.
        output_dir, forms: see `ResultWriter`.
        overwrite: ask again what an earlier run asked already, and replace what is there; else such images are left
            out, so that a run that was cut off goes on. An image or a model whose file changed is asked again anyway.
        model: see `find_model`.
        threshold: probability above which a pixel belongs to a mask; None: the checkpoint's own.
        semantic: give each pixel to one prompt at most.
        operations: what to do to the masks.
        objects: list the connected parts of each mask in the JSON, with their boxes, scores and run lengths.
        tiling, guided_filter: see `Segmenter`.
        label_formats: of `LABEL_FORMATS`; at the end, labels of all of the images are written in each, into a folder of
            its name: those of an earlier run, too, but none of what is called absent. Needs, and so writes, JSON.
        license: of the images, for the labels.
        device: see `Segmenter.from_pretrained`.
        echo: takes each line of the report.

    Returns:
        The files that were written.

    Raises:
        FileNotFoundError: an image or the model is missing.
        ConnectionError: see `find_model`.
        ValueError: see `Segmenter` and `list_pictures`; a picture that is not georeferenced, for GeoJSON; and, when all
            others are done, images that could not be read.
    """
    if unknown := [name for name in label_formats if name not in LABEL_FORMATS]:
        raise ValueError(f"Labels are written as {', '.join(LABEL_FORMATS)}; got {', '.join(unknown)}.")
    forms = tuple(forms)
    if label_formats:
        forms, objects = tuple(dict.fromkeys([*forms, "json"])), True
    pictures = list(list_pictures(images, output_dir, every=every, column=column, split=split))
    images = [picture.name for picture in pictures]
    if "geojson" in label_formats:
        check_georeferences((picture.open(), picture.name) for picture in pictures)
    asked: dict[str, Any] = {
        "threshold": threshold,
        "semantic": semantic,
        "operations": asdict(operations),
        "objects": objects,
        "prompts": [_describe(prompt) for prompt in prompts],
    }
    if tiling is not None:
        asked["tiling"] = asdict(tiling)
    if guided_filter is not None:
        asked["guided_filter"] = asdict(guided_filter)
    refuse_file(output_dir)
    labels = [str(prompt.label) for prompt in prompts]
    writer = ResultWriter(
        output_dir,
        images,
        labels,
        forms=forms,
        semantic=semantic,
        objects=objects,
        overwrite=overwrite,
        model=model,
        model_files=digest_files(resolve_name(model)) if "json" in forms else None,  # nothing else says it
        asked=asked,
    )

    def write_labels() -> None:
        records = [files["json"] for files in writer.files if label_formats and files["json"].exists()]
        read = {picture.name: picture.open for picture in pictures}
        lines = write_found(records, writer.folder, label_formats, labels, model=model, license=license, pictures=read)
        for line in lines:
            echo(line)

    numbers = [number for number, is_done in enumerate(writer.is_done) if not is_done]
    if len(numbers) < len(images):
        echo(f"{len(images) - len(numbers)} of {len(images)} images have their results from an earlier run, left out.")
    if not numbers:
        write_labels()
        return []
    segmenter = Segmenter.from_pretrained(find_model(model), device=device, tiling=tiling, guided_filter=guided_filter)
    reading, written = _Reading(pictures, numbers, echo, load_image if tiling is None else open_bands), []
    with tqdm(total=len(numbers), desc="segment", unit="image", disable=None if len(numbers) > 1 else True) as bar:
        for result in segmenter.stream(reading, prompts, threshold):
            number = reading.current
            result = result.exclusive() if semantic else result
            result = result if operations == MaskOperations() else result.clean(operations)
            files = writer.write(number, result)
            bar.clear()
            echo(images[number])
            for line in (*result.describe(), f"-> {_listed(files)}"):
                echo(f"  {line}")
            bar.update()
            written += files
    write_labels()
    echo(f"{len(written)} {'file is' if len(written) == 1 else 'files are'} in {output_dir}.")
    if reading.failed:
        raise ValueError(
            f"{len(reading.failed)} of {len(numbers)} images could not be read: {_listed(reading.failed)}."
        )
    return written


class _Reading:
    """Iterates over images; tells which one it gave last, and which could not be read."""

    def __init__(
        self,
        pictures: Sequence[Picture],
        numbers: Iterable[int],
        echo: Callable[[str], None],
        load: Callable[[ImageLike], Any],
    ):
        self.pictures, self.numbers, self.echo, self.load = pictures, numbers, echo, load
        self.current = -1
        self.failed: list[str] = []

    def __iter__(self) -> Iterator[Any]:
        for number in self.numbers:
            try:
                image = self.load(self.pictures[number].open())
            except (OSError, ValueError, TypeError) as error:  # a row may have none
                self.failed.append(self.pictures[number].name)
                self.echo(f"{self.pictures[number].name}\n  skipped: {error}")
                continue
            self.current = number
            yield image


def _describe(prompt: Prompt | Combination) -> dict:
    """What a prompt asks, for JSON; two that ask the same are equal."""
    if isinstance(prompt, Combination):
        return {"sign": prompt.sign, "factor": prompt.factor, "parts": [_describe(part) for part in prompt.parts]}

    def name(part: Any) -> Any:
        if isinstance(part, (list, tuple)):
            return [name(one) for one in part]
        return part if part is None else str(part)

    own = OWN_SHARE if prompt.weight is None else prompt.weight
    weight = 0.5 if prompt.text is None or prompt.image is None else own  # one thing alone asks the same by any
    return {"text": prompt.text, "image": name(prompt.image), "mask": name(prompt.mask), "weight": weight}


def _listed(files: Sequence[str | Path], limit: int = 6) -> str:
    names = [Path(path).name for path in files]
    return ", ".join(names if len(names) <= limit else [*names[:limit], f"and {len(names) - limit} more"])


def convert_file(
    checkpoint: str | Path,
    output_dir: str | Path,
    *,
    clip: str,
    extract_layers: Sequence[int] = (3, 6, 9),
    decoder_only: bool = False,
) -> Path:
    """A checkpoint of the original implementation -> a folder with model and processor that `from_pretrained` takes.

    Args:
        checkpoint: `rd64-uni.pth`, `rd64-uni-refined.pth`, `rd16-uni.pth` or the like.
        output_dir: made if need be.
        clip: folder or Hub name of its CLIP.
        extract_layers: see `convert_original_checkpoint`.
        decoder_only: write the decoder alone, which names `clip` as its base.

    Raises:
        FileNotFoundError: no such file.
        FileExistsError: the folder is not empty.
        ValueError: the file is none of these, or does not fit `clip`.
    """
    checkpoint, output_dir = Path(checkpoint), Path(output_dir)
    if not checkpoint.is_file():
        raise FileNotFoundError(f"There is no file {checkpoint}.")
    with new_folder(output_dir):
        clip = find_model(clip, way_out="have its CLIP downloaded on a machine that can")
        model = convert_original_checkpoint(checkpoint, clip, extract_layers=extract_layers)
        processor = CLIPSegProcessor.from_clip(clip)
        # the original trains with ImageNet's statistics, not CLIP's (datasets/phrasecut.py)
        processor.image_processor.image_mean = list(IMAGENET_MEAN)
        processor.image_processor.image_std = list(IMAGENET_STD)
        model.save_pretrained(output_dir, decoder_only=decoder_only)
        processor.save_pretrained(output_dir)
        return output_dir
