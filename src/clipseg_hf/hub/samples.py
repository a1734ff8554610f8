"""Sample pictures of a published model, drawn by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from PIL import Image

from clipseg_hf.assets import EMOJI_SCENES
from clipseg_hf.inference import Segmenter
from clipseg_hf.processing import load_image

FOLDER = "samples"
MAX_SIDE = 1024  # pixels
# Of this package, under a free licence: for a model whose publisher shows no picture.
OWN_SCENES = {"9": ("dog", "guitar"), "2": ("penguin", "sunflower")}


@dataclass(frozen=True)
class Sample:
    """A picture of the card.

    Attributes:
        image, found: where it is in the folder, and the same with what the model found in it.
        prompts: what was asked.
        lines: what was found, in words, a line for each prompt.
    """

    image: str
    found: str
    prompts: tuple[str, ...]
    lines: tuple[str, ...]


def draw_samples(
    segmenter: Segmenter, folder: Path, images: Sequence[str | PathLike], prompts: Sequence[str]
) -> list[Sample]:
    """Ask pictures for what the card shows, and write both into `samples/`.

    Args:
        segmenter: the model.
        folder: where the repository is put together.
        images: pictures that may be shown; none: scenes of this package, asked for what is in them.
        prompts: what to ask.

    Raises:
        ValueError: pictures of one's own without anything to ask.
    """
    if images and not prompts:
        raise ValueError("The samples are asked for the checkpoint's prompts, and there are none: give prompts.")
    asked = [(image, tuple(prompts)) for image in images]
    asked = asked or [(f"{EMOJI_SCENES}/images/{name}.jpg", texts) for name, texts in OWN_SCENES.items()]
    (folder / FOLDER).mkdir()
    return [_draw(segmenter, folder, number, *sample) for number, sample in enumerate(asked, 1)]


def _draw(segmenter: Segmenter, folder: Path, number: int, given: str | PathLike, prompts: tuple[str, ...]) -> Sample:
    picture = load_image(given, f"samples[{number - 1}]")
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    image, found = f"{FOLDER}/{number}.jpg", f"{FOLDER}/{number}_found.jpg"
    # pixels alone: no place, time or camera
    Image.frombytes(picture.mode, picture.size, picture.tobytes()).save(folder / image, quality=92)
    result = segmenter(folder / image, list(prompts))[0]
    result.overlay().convert("RGB").save(folder / found, quality=92)
    return Sample(image, found, prompts, tuple(result.describe()))
