"""The emoji world: scenes of emoji with phrases and masks true to the pixel, drawn from a seed.

A scene is drawn back to front: each instance is a glyph of the Noto Color Emoji font, scaled, turned, perhaps greyed
or set upside down, pasted where it hides no more than half of what lies below. What is said about a scene is true by
construction: a name means all its instances, an attribute those that have it, a relation those for which it holds.
`emoji_files.py` writes scenes in PhraseCut's layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from clipseg_hf.data.emoji_world.emoji_backgrounds import draw_background
from clipseg_hf.data.emoji_world.emoji_glyphs import EmojiConcept, GlyphSheet

# Height of an instance in units of the scene's shorter side. What lies between is neither small nor large.
SMALL, LARGE = 0.25, 0.42
# How much farther apart than half their joint extent two instances stand before one is "left of" or "above" the other.
RELATION_MARGIN = 0.9
TRIES = 12


@dataclass(frozen=True)
class SceneSettings:
    """What scenes look like.

    Args:
        sizes: (height, width) in pixels of which one is drawn.
        concepts_per_scene: lowest and highest number of different concepts.
        object_size: smallest and largest height of an instance, in units of the scene's shorter side.
        repeat_probability: how often a concept appears two or three times.
        attribute_probability: how often an instance is greyed or set upside down, each.
        hidden_share: how much of an instance may lie below others.
    """

    sizes: tuple[tuple[int, int], ...] = ((256, 256), (256, 256), (256, 320), (320, 256), (256, 384))
    concepts_per_scene: tuple[int, int] = (2, 4)
    object_size: tuple[float, float] = (0.16, 0.55)
    repeat_probability: float = 0.2
    attribute_probability: float = 0.1
    hidden_share: float = 0.35


@dataclass
class Instance:
    """One pasted emoji: what it is, its attributes, the box of its full shape (x, y, width, height)."""

    concept: EmojiConcept
    attributes: tuple[str, ...]
    box: tuple[int, int, int, int]
    area: int  # pixels of the full shape inside the scene

    @property
    def center(self) -> tuple[float, float]:
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


@dataclass
class ScenePhrase:
    """A phrase and the instances (indices into the scene's) that it means; relations are (predicate, object name)."""

    phrase: str
    name: str
    instances: list[int]
    attributes: tuple[str, ...] = ()
    relations: tuple[tuple[str, str], ...] = ()


@dataclass
class Scene:
    """A picture (H, W, 3) uint8; `owner` (H, W) int16 says which instance a pixel shows, -1 for the background."""

    image: np.ndarray
    owner: np.ndarray
    instances: list[Instance] = field(default_factory=list)
    phrases: list[ScenePhrase] = field(default_factory=list)

    def mask(self, instances: Sequence[int]) -> np.ndarray:
        """Pixels that show one of the instances: (H, W) bool."""
        return np.isin(self.owner, instances)


def draw_scene(
    generator: np.random.Generator,
    concepts: Sequence[EmojiConcept],
    glyphs: GlyphSheet,
    settings: SceneSettings = SceneSettings(),
) -> Scene:
    """Draw one scene of some of `concepts`, with everything that is said about it.

    Args:
        generator: decides everything; the same state draws the same scene.
        concepts: the things that may appear.
        glyphs: their pictures.
    """
    height, width = settings.sizes[generator.integers(len(settings.sizes))]
    scene = Scene(draw_background(generator, height, width), np.full((height, width), -1, dtype=np.int16))
    low, high = settings.concepts_per_scene
    count = min(int(generator.integers(low, high + 1)), len(concepts))
    for number in generator.choice(len(concepts), size=count, replace=False):
        repeats = int(generator.integers(2, 4)) if generator.uniform() < settings.repeat_probability else 1
        for _ in range(repeats):
            _place(scene, generator, concepts[number], glyphs[concepts[number].character], settings)
    scene.phrases = describe(scene, generator)
    return scene


def _place(scene: Scene, generator: np.random.Generator, concept: EmojiConcept, glyph: Image.Image, settings) -> bool:
    """Paste one instance where it hides nothing too much; give up after some tries."""
    height, width = scene.owner.shape
    side = min(height, width)
    low, high = settings.object_size
    # Small things are as frequent as large ones: uniform in the logarithm of the size.
    size = side * float(np.exp(generator.uniform(np.log(low), np.log(high))))
    picture, attributes = _transform(glyph, generator, size, settings.attribute_probability)
    if size < SMALL * side:
        attributes = ("small", *attributes)
    elif size > LARGE * side:
        attributes = ("large", *attributes)
    alpha = np.asarray(picture.getchannel("A"))
    shape = alpha >= 128  # a pixel belongs to what covers most of it
    h, w = shape.shape
    if h > height or w > width:
        return False
    visible = np.bincount(scene.owner[scene.owner >= 0], minlength=len(scene.instances))
    for _ in range(TRIES):
        x, y = int(generator.integers(0, width - w + 1)), int(generator.integers(0, height - h + 1))
        below = scene.owner[y : y + h, x : x + w]
        hidden = np.bincount(below[shape & (below >= 0)], minlength=len(scene.instances))
        if all(
            visible[k] - hidden[k] >= (1 - settings.hidden_share) * scene.instances[k].area
            for k in np.flatnonzero(hidden)
        ):
            break
    else:
        return False
    window = scene.image[y : y + h, x : x + w]
    opacity = alpha[..., None].astype(np.float32) / 255
    window[:] = (opacity * np.asarray(picture)[..., :3] + (1 - opacity) * window + 0.5).astype(np.uint8)
    below[shape] = len(scene.instances)
    scene.instances.append(Instance(concept, attributes, (x, y, w, h), int(shape.sum())))
    return True


def _transform(glyph: Image.Image, generator, size: float, attribute_probability: float):
    """The glyph at `size` pixels of height, turned and lit; with the attributes that this gave it."""
    attributes = []
    scale = size / max(glyph.size)
    picture = glyph.resize(tuple(max(round(side * scale), 2) for side in glyph.size), Image.Resampling.BICUBIC)
    turn = generator.normal(0, 10)
    grey, upside_down = generator.uniform(size=2) < attribute_probability
    if upside_down:
        turn += 180
        attributes.append("upside-down")
    picture = picture.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    pixels = np.asarray(picture).astype(np.float32)
    colour, alpha = pixels[..., :3], pixels[..., 3]
    if grey and _is_colourful(colour, alpha):
        colour[:] = (colour @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]
        attributes.append("grey")
    colour *= generator.uniform(0.8, 1.1)
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return picture.crop(picture.getchannel("A").getbbox()), tuple(attributes)


def _is_colourful(colour: np.ndarray, alpha: np.ndarray) -> bool:
    """Whether making it grey can be seen: the mean spread of the channels exceeds an eighth of their range."""
    solid = colour[alpha >= 128]
    return solid.size > 0 and float(np.ptp(solid, axis=-1).mean()) > 32


def describe(scene: Scene, generator: np.random.Generator) -> list[ScenePhrase]:
    """Phrases for a scene: each name, some attributes, at most two relations, all true of it."""
    by_name: dict[str, list[int]] = {}
    for number, instance in enumerate(scene.instances):
        by_name.setdefault(instance.concept.name, []).append(number)
    phrases = [ScenePhrase(name, name, numbers) for name, numbers in by_name.items()]
    for name, numbers in by_name.items():
        attributes = sorted({attribute for number in numbers for attribute in scene.instances[number].attributes})
        if attributes and generator.uniform() < 0.6:
            attribute = attributes[generator.integers(len(attributes))]
            having = [number for number in numbers if attribute in scene.instances[number].attributes]
            phrases.append(ScenePhrase(f"{attribute} {name}", name, having, attributes=(attribute,)))
    names = list(by_name)
    for _ in range(2 if len(names) > 1 else 0):
        first, second = generator.choice(len(names), size=2, replace=False)
        related = _relate(scene, names[first], by_name[names[first]], names[second], by_name[names[second]])
        if related is not None and all(related.phrase != known.phrase for known in phrases):
            phrases.append(related)
    return phrases


def _relate(scene: Scene, name: str, numbers: list[int], other_name: str, others: list[int]) -> ScenePhrase | None:
    """`name` left of, right of, above or below the only `other_name`, where that is plain to see for all or some."""
    if len(others) != 1:
        return None
    x0, y0 = scene.instances[others[0]].center
    _, _, w0, h0 = scene.instances[others[0]].box
    found: dict[str, list[int]] = {}
    for number in numbers:
        x, y = scene.instances[number].center
        _, _, w, h = scene.instances[number].box
        dx, dy = (x - x0) / (w + w0) * 2, (y - y0) / (h + h0) * 2
        if max(abs(dx), abs(dy)) < RELATION_MARGIN or 0.6 < abs(dx) / max(abs(dy), 1e-6) < 1.6:
            return None  # somewhere between: nothing is said
        horizontal = abs(dx) > abs(dy)
        predicate = ("right of" if dx > 0 else "left of") if horizontal else ("below" if dy > 0 else "above")
        found.setdefault(predicate, []).append(number)
    predicate, having = next(iter(found.items()))
    return ScenePhrase(f"{name} {predicate} {other_name}", name, having, relations=((predicate, other_name),))
