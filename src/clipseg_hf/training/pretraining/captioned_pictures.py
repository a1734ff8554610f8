"""Pictures with captions for the contrastive loss, drawn as they are needed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from clipseg_hf.data.emoji_world.emoji_glyphs import EmojiConcept, GlyphSheet
from clipseg_hf.data.emoji_world.emoji_scenes import Scene, SceneSettings, draw_scene
from clipseg_hf.data.vocabulary.phrases import PREFIXES
from clipseg_hf.processing.pixels import PixelReader
from clipseg_hf.processing.plain.image_processor import PlainImageProcessor
from clipseg_hf.processing.visual_prompts import VisualPromptSettings
from clipseg_hf.training.pretraining.pretrain_recipe import Stage

MEAN, STD = (np.array(values, dtype=np.float32) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))


@dataclass
class CaptionedPicture:
    """A picture (H, W, 3) uint8 with a caption; `names` are of all that is in it.

    `swapped` is the caption with the two things of its relation exchanged ("cat left of dog" for "dog left of cat"),
    where it says one and the exchanged one is not true as well; else None. `regions`, where asked for, are where the
    things lie that training phrases may name: name -> mask (H, W) bool.
    """

    picture: np.ndarray
    caption: str
    names: tuple[str, ...]
    swapped: str | None = None
    regions: Mapping[str, np.ndarray] = field(default_factory=dict)


def caption_scene(scene: Scene, generator: np.random.Generator) -> CaptionedPicture:
    """A caption as alt text might be: all of a scene's things, how two of them stand, or one of them."""
    relations = [phrase for phrase in scene.phrases if phrase.relations]
    single = [phrase.phrase for phrase in scene.phrases if not phrase.relations]
    names = list(dict.fromkeys(instance.concept.name for instance in scene.instances))
    choice, swapped = generator.uniform(), None
    if len(names) == 1 or choice < 0.25:
        caption = single[generator.integers(len(single))]
    elif relations and choice < 0.5:
        chosen = relations[generator.integers(len(relations))]
        ((predicate, other),) = chosen.relations
        caption, swapped = chosen.phrase, f"{other} {predicate} {chosen.name}"
        if any(phrase.phrase == swapped for phrase in relations):
            swapped = None
    else:
        caption = " and ".join(names[number] for number in generator.permutation(len(names)))
    prefix = PREFIXES[generator.integers(len(PREFIXES))]
    return CaptionedPicture(
        scene.image,
        prefix.format(caption),
        tuple(names),
        None if swapped is None else prefix.format(swapped),
    )


class Examples:
    """Shows one thing of a scene by its mask, as image prompts are shown: by the processor's own reader.

    Args:
        size: side of the pictures in pixels.
        settings: of the visual prompts.
    """

    def __init__(self, size: int, settings: VisualPromptSettings):
        plain = PlainImageProcessor({"height": size, "width": size}, image_mean=MEAN, image_std=STD)
        self.reader, self.settings = PixelReader(plain, {}, 1), settings

    def show(self, scene: Scene, generator: np.random.Generator, regions: Mapping[str, np.ndarray]) -> CaptionedPicture:
        """One of the things, all instances of it, with its name as caption; if it is among the regions of the scene, it
        has one of its own, which is where it is seen then."""
        things = [phrase for phrase in scene.phrases if phrase.phrase == phrase.name]
        thing = things[generator.integers(len(things))]
        mask = scene.mask(thing.instances)
        caption = PREFIXES[generator.integers(len(PREFIXES))].format(thing.name)
        item = CaptionedPicture(self._picture(scene.image, mask, self.settings), caption, (thing.name,))
        if thing.name in regions:
            as_it_is = replace(self.settings, blur=False, background=1.0, highlight="dim")
            white = np.repeat(mask[..., None], 3, axis=-1) * np.uint8(255)
            item.regions = {thing.name: self._picture(white, mask, as_it_is)[..., 0] > 127}
        return item

    def _picture(self, image: np.ndarray, mask: np.ndarray, settings: VisualPromptSettings) -> np.ndarray:
        """(H, W, 3) uint8, (H, W) bool -> (size, size, 3) uint8: normalised for the while, as prompts are made."""
        (pixels,) = self.reader.visual_prompts([(image, mask, "example")], settings)
        return ((pixels.transpose(1, 2, 0) * STD + MEAN) * 255).round().clip(0, 255).astype(np.uint8)


def seen_regions(scene: Scene) -> dict[str, np.ndarray]:
    """Where the things lie that training phrases may name, each with all of its instances: name -> mask (H, W) bool."""
    return {
        phrase.name: scene.mask(phrase.instances)
        for phrase in scene.phrases
        if phrase.phrase == phrase.name and scene.instances[phrase.instances[0]].concept.seen
    }


class CaptionedPictures(Dataset):
    """Pictures with captions, drawn on the fly: item i is the same whenever and wherever it is drawn.

    With `regions`, each says where its things lie.
    """

    def __init__(
        self,
        stage: Stage,
        number: int,
        concepts: Iterable[EmojiConcept],
        glyphs: GlyphSheet,
        seed: int,
        regions: bool = False,
    ):
        self.regions = regions
        self.stage, self.number, self.concepts, self.glyphs, self.seed = stage, number, list(concepts), glyphs, seed
        size = ((stage.image_size, stage.image_size),)
        # The same range of sizes in pixels, hence in patches, at every stage.
        low, high = min(0.45, 40 / stage.image_size), min(0.95, 128 / stage.image_size)
        self.single = SceneSettings(
            sizes=size, concepts_per_scene=(1, 1), object_size=(low, high), repeat_probability=0
        )
        self.several = SceneSettings(
            sizes=size, concepts_per_scene=(2, 3), object_size=(low, 0.6 * high), repeat_probability=0.1
        )
        self.examples = None
        if (shown := stage.example_settings()) is not None:
            self.examples = Examples(stage.image_size, shown)
            self.single = SceneSettings()  # one emoji of any scene, then

    def __len__(self):
        return self.stage.steps * self.stage.batch_size

    def __getitem__(self, index: int) -> CaptionedPicture:
        generator = np.random.default_rng([self.seed, self.number, index])
        settings = self.single if generator.uniform() < self.stage.single_share else self.several
        scene = draw_scene(generator, self.concepts, self.glyphs, settings)
        while not scene.instances:  # the one emoji did not fit, once it was turned
            scene = draw_scene(generator, self.concepts, self.glyphs, settings)
        regions = seen_regions(scene) if self.regions else {}
        if self.examples is not None:
            return self.examples.show(scene, generator, regions)
        item = caption_scene(scene, generator)
        item.regions = regions
        return item


def normalize_pictures(pictures: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float with CLIP's mean and standard deviation."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255  # (B, H, W, 3) -> (B, 3, H, W)
    mean, std = (torch.from_numpy(values)[:, None, None] for values in (MEAN, STD))
    return (pixels - mean) / std
