"""Protocol 5, the paper's second table: which way of showing an object makes CLIP see that object.

For each object CLIP chooses between its name and the names of the other things on its image. Reported is by how much
a visual prompt raises the probability of the true name over the plain image. The decoder has no part in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.row_phrases import different_phrases, phrase_mask
from clipseg_hf.data.rows.rows import only_columns
from clipseg_hf.data.sampling.sampling import generator_for
from clipseg_hf.data.vocabulary.phrases import concept_key
from clipseg_hf.evaluation.benchmarks.label_maps import bare_name
from clipseg_hf.evaluation.metrics.arithmetic import exact_mean
from clipseg_hf.evaluation.metrics.travelling import Arrays, below, under
from clipseg_hf.evaluation.protocols.prompted_model import PromptedModel
from clipseg_hf.evaluation.protocols.queries import Place, batches
from clipseg_hf.processing.visual_prompts import VisualPromptSettings

PLAIN = VisualPromptSettings(crop=False, blur=False, background=1.0)
"""The image as it is."""
PLAIN_IMAGE = "plain image"


def _whole(**options) -> VisualPromptSettings:
    return VisualPromptSettings(**{"crop": False, "blur": False, "background": 1.0} | options)


def _crop(**options) -> VisualPromptSettings:
    return _whole(crop=True, **options)


VISUAL_PROMPTS: dict[str, tuple[str | VisualPromptSettings, float]] = {
    "CLIP mask, CLS token, last layer": ("cls_last", 0.0134),
    "CLIP mask, CLS token, all layers": ("cls_all", 0.0171),
    "CLIP mask, all tokens, all layers": ("patches_all", -0.1444),
    "dyed red": (_whole(highlight="red"), 0.0121),
    "red outline": (_whole(highlight="outline"), 0.0229),
    "background 50 %": (_whole(background=0.5), 0.0308),
    "background 10 %": (_whole(background=0.1), 0.1385),
    "background 0 %": (_whole(background=0.0), 0.2340),
    "blur": (_whole(blur=True), 0.1315),
    "blur, background 10 %": (_whole(blur=True, background=0.1), 0.2173),
    "crop, large context": (_crop(context=0.5), 0.0627),
    "crop": (_crop(), 0.1360),
    "crop, blur": (_crop(blur=True), 0.1534),
    "crop, background 10 %": (_crop(background=0.1), 0.2173),
    "crop, blur, background 10 %": (_crop(blur=True, background=0.1), 0.2350),
}
"""Name -> how it is made (settings, or a mode of CLIP-based masking), and the gain that the paper publishes."""


@dataclass(frozen=True)
class VisualPromptStudySettings:
    """Which objects are looked at.

    Attributes:
        samples: at most so many objects, drawn by the seed.
        min_area: share of the image that the object covers at least.
        min_names: different names on the image at least, the object's among them.
        templates: sentences around the name.
        batch_size: objects encoded at once.
        seed: of the draw.
    """

    samples: int = 1600
    min_area: float = 0.05
    min_names: int = 3
    templates: tuple[str, ...] = ("a photo of a {}",)
    batch_size: int = 16
    seed: int = 0


@dataclass
class StudyResult:
    """Probability of the true name of each object: of the plain image, and of each visual prompt."""

    plain: list[float] = field(default_factory=list)
    prompted: dict[str, list[float]] = field(default_factory=dict)

    def merge(self, other: "StudyResult") -> "StudyResult":
        """Take over another process's objects and return self."""
        self.plain += other.plain
        for name, values in other.prompted.items():
            self.prompted.setdefault(name, []).extend(values)
        return self

    def to_arrays(self) -> Arrays:
        """The probabilities, to be sent to another process."""
        prompted = {name: np.array(values, dtype=np.float64) for name, values in self.prompted.items()}
        return {"plain": np.array(self.plain, dtype=np.float64), **under("prompted", prompted)}

    def filled(self, arrays: Mapping[str, np.ndarray]) -> "StudyResult":
        """What another process sent."""
        prompted = {name: values.tolist() for name, values in below("prompted", arrays).items()}
        return StudyResult(arrays["plain"].tolist(), prompted)

    def probabilities(self) -> dict[str, list[float]]:
        """Way of showing an object, the plain image first -> probability of each object's true name."""
        return {PLAIN_IMAGE: self.plain, **self.prompted}

    def summary(self) -> dict[str, dict[str, dict]]:
        """Visual prompt -> {"all": numbers}: `gain`, its standard `error`, the mean `probability`, `samples`, and the
        paper's gain as `published`."""
        plain = np.array(self.plain)
        summary = {PLAIN_IMAGE: {"all": {"samples": len(plain), "probability": float(exact_mean(plain))}}}
        for name, values in self.prompted.items():
            gains = np.array(values) - plain
            numbers = {
                "samples": len(plain),
                "probability": float(exact_mean(np.array(values))),
                "gain": float(exact_mean(gains)),
                "error": float(np.std(np.sort(gains)) / len(gains) ** 0.5),
            }
            if name in VISUAL_PROMPTS:
                numbers["published"] = VISUAL_PROMPTS[name][1]
            summary[name] = {"all": numbers}
        return summary


def study_visual_prompts(
    model,
    processor,
    rows: Sequence[dict],
    settings: VisualPromptStudySettings | None = None,
    *,
    variants: Mapping[str, str | VisualPromptSettings] | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> StudyResult:
    """Show objects in each way and ask CLIP what it sees.

    Args:
        rows: see `clipseg_hf.data.rows.rows`; objects are phrases that are bare names.
        variants: name -> settings of the visual prompt, or "cls_last", "cls_all", "patches_all"; the paper's where
            left out.
        shard: (rank, processes): this process takes each `processes`-th batch.

    Raises:
        ValueError: no object is large enough on an image with enough names.
    """
    settings = settings or VisualPromptStudySettings()
    variants = {name: made for name, (made, _) in VISUAL_PROMPTS.items()} if variants is None else dict(variants)
    rows = undecoded(rows)
    places = _draw_objects(rows, settings)
    prompted = PromptedModel(model, processor, settings.templates)
    result = StudyResult(prompted={name: [] for name in variants})
    with prompted.evaluating():
        for numbers in batches(len(places), settings.batch_size, shard, "visual prompts" if progress else None):
            batch = [(rows[row], number) for row, number in (places[n] for n in numbers)]
            names = [_names(row["phrases"], number) for row, number in batch]
            texts = prompted.text_vectors([name for group in names for name in group])
            shown = [(decode_image(row["image"])[0], phrase_mask(row["phrases"], n)) for row, n in batch]
            sizes = [len(group) for group in names]
            result.plain += _true_probabilities(model, _encode(prompted, shown, PLAIN), texts, sizes)
            for name, made in variants.items():
                result.prompted[name] += _true_probabilities(model, _encode(prompted, shown, made), texts, sizes)
    return result


def _draw_objects(rows, settings: VisualPromptStudySettings) -> list[Place]:
    words = only_columns(rows, "height", "width", "phrases")
    generator = generator_for(settings.seed, 0, 0)
    places: list[Place] = []
    for number in torch.randperm(len(rows), generator=generator).tolist():
        row = words[number]
        objects = [n for n in different_phrases(row["phrases"]) if bare_name(row["phrases"][n])]
        if len(_names(row["phrases"], objects[0]) if objects else ()) < settings.min_names:
            continue
        area = settings.min_area * row["height"] * row["width"]
        large = [n for n in objects if np.count_nonzero(phrase_mask(row["phrases"], n)) >= area]
        if large:  # one object of an image, as the paper's "images"
            places.append((number, large[int(torch.randint(len(large), (), generator=generator))]))
        if len(places) == settings.samples:
            break
    if not places:
        raise ValueError(
            f"None of the {len(rows)} images has {settings.min_names} different names and an object of at least "
            f"{settings.min_area:.0%} of its area: lower min_names or min_area."
        )
    return places


def _names(entries: Sequence[Mapping], number: int) -> list[str]:
    """Different bare names on an image, that of phrase `number` first."""
    names = {bare_name(entries[number]): entries[number]["name"]}
    for entry in entries:
        if bare_name(entry):
            names.setdefault(concept_key(entry["name"]), entry["name"])
    return list(names.values())


def _encode(prompted: PromptedModel, shown: list[tuple[np.ndarray, np.ndarray]], made: str | VisualPromptSettings):
    """CLIP's embeddings of objects shown in one way, (N, D)."""
    if isinstance(made, VisualPromptSettings):
        return prompted.image_vectors(shown, visual_prompt_settings=made)
    return prompted.image_vectors(shown, visual_prompt_settings=PLAIN, mask_mode=made)


def _true_probabilities(model, images: torch.Tensor, texts: torch.Tensor, sizes: list[int]) -> list[float]:
    """Probability of the first of each image's names: images (N, D), texts (sum of sizes, D)."""
    images, texts = (torch.nn.functional.normalize(vectors.float(), dim=-1) for vectors in (images, texts))
    scale = model.clip.logit_scale.float().exp()
    groups = texts.split(sizes)
    return [float((scale * group @ image).softmax(dim=0)[0]) for image, group in zip(images, groups, strict=True)]
