"""What the prompts found in one image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from clipseg_hf.drawing.overlay import heat_map, overlay
from clipseg_hf.processing.masks.operations import MaskOperations
from clipseg_hf.processing.masks.outlines import mask_to_box, split_objects
from clipseg_hf.processing.masks.rle import encode_rle
from clipseg_hf.processing.plain.probabilities import (
    find_mask,
    label_pixels,
    means_inside,
    presence_scores,
    resize_probabilities,
)


@dataclass
class Segmentation:
    """The masks of N prompts in one image of h x w pixels (the right way up), and what else is known about them.

    Attributes:
        image: the image, RGB, turned as its EXIF orientation says.
        labels: what to call each prompt.
        kinds: "text", "image", "mixed" or "combined" for each prompt.
        thresholds: the probability above which a pixel belongs to each mask.
        masks: (N, h, w) bool.
        scores: mean probability inside of each mask, 0 where it is empty.
        presence: how sure the model is that each thing is there at all, in [0, 1]; see `presence_scores`.
        is_present: whether that is above the checkpoint's threshold. Masks are given either way.
        logits: (N, H, W) float32, as the model gave them, at its own size; see `Combination` for combined ones.
        label_map: (h, w), bytes for up to 255 prompts: 0 is background, n + 1 prompt n; after `exclusive()`, else None.
        operations: what `clean()` did to the masks, one after the other.
    """

    image: Image.Image
    labels: list[str]
    kinds: list[str]
    thresholds: list[float]
    masks: np.ndarray
    scores: list[float]
    presence: list[float]
    is_present: list[bool]
    logits: np.ndarray
    label_map: np.ndarray | None = None
    operations: tuple[MaskOperations, ...] = ()

    @classmethod
    def from_logits(
        cls,
        image: Image.Image,
        logits: np.ndarray,
        labels: list[str],
        kinds: list[str],
        thresholds: list[float],
        presence_threshold: float,
        presence: list[float] | None = None,
    ) -> "Segmentation":
        """From the model's (N, H, W) logits for one image; presence is read off them where it is not given."""
        logits, size = np.asarray(logits, dtype=np.float32), (image.height, image.width)
        # one prompt at a time, and the probabilities let go: eighty of them at full size would not fit into memory
        found = [find_mask(one, size, threshold) for one, threshold in zip(logits, thresholds, strict=True)]
        presence = presence_scores(logits) if presence is None else presence
        return cls(
            image=image,
            labels=labels,
            kinds=kinds,
            thresholds=thresholds,
            masks=np.stack([mask for mask, _ in found]),
            scores=[score for _, score in found],
            presence=presence,
            is_present=[value > presence_threshold for value in presence],
            logits=logits,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def probabilities(self, number: int) -> np.ndarray:
        """The (h, w) float32 probabilities of prompt `number`, made anew from the logits at each call."""
        return resize_probabilities(self.logits[number], (self.image.height, self.image.width))

    @property
    def areas(self) -> list[int]:
        """Pixels in each mask."""
        return [int(mask.sum()) for mask in self.masks]

    @property
    def boxes(self) -> list[list[int] | None]:
        """COCO's [x, y, width, height] of each mask, None where it is empty."""
        return [mask_to_box(mask) for mask in self.masks]

    @property
    def rles(self) -> list[dict]:
        """COCO's run-length code of each mask."""
        return [encode_rle(mask) for mask in self.masks]

    def exclusive(self) -> "Segmentation":
        """The same as a semantic map: each pixel in the mask of one prompt at most, the most probable above its
        threshold; with `label_map`. What `clean()` did before is done to it, too."""
        label_map = label_pixels(self.logits, (self.image.height, self.image.width), self.thresholds)
        found = replace(self, masks=_masks_of(label_map, len(self)), label_map=label_map, operations=())
        found = replace(found, scores=found._scores([[mask] for mask in found.masks]))
        for operations in self.operations:
            found = found.clean(operations)
        return found

    def clean(self, operations: MaskOperations | None = None, **options: float) -> "Segmentation":
        """The same with its masks worked over.

        Args:
            operations: what to do; or its fields as `options`: `clean(min_area=0.001, fill_holes=50, feather=2)`.

        Raises:
            TypeError: both are given; see also `MaskOperations`.
            ValueError: see `MaskOperations`.
        """
        if operations is not None and options:
            raise TypeError(f"clean() takes operations or their fields, and got both: {operations}, {options}.")
        operations = operations or MaskOperations(**options)  # type: ignore[arg-type]  # invert is a number, too
        masks = np.stack([operations.apply(mask) for mask in self.masks])
        label_map = self.label_map
        if label_map is not None:  # what has grown into another prompt's pixels gets them only where that leaves them
            kept, label_map = masks & _masks_of(label_map, len(self)), np.zeros_like(label_map)
            for number in reversed(range(len(self))):  # of several that have grown the first
                label_map[masks[number]] = number + 1
            for number in range(len(self)):
                label_map[kept[number]] = number + 1
            masks = _masks_of(label_map, len(self))
        cleaned = replace(self, masks=masks, label_map=label_map, operations=(*self.operations, operations))
        return replace(cleaned, scores=cleaned._scores([[mask] for mask in masks]))

    def objects(self) -> "Segmentation":
        """One mask for each connected part, the largest first, with a score of its own; a prompt that found nothing
        keeps its empty mask. Parts have the label of their prompt."""
        parts = [split_objects(mask) or [mask] for mask in self.masks]
        taken = self._take([number for number, some in enumerate(parts) for _ in some])
        masks = np.stack([mask for some in parts for mask in some])
        return replace(taken, masks=masks, scores=self._scores(parts))

    def soft_mask(self, number: int) -> np.ndarray:
        """(h, w) float32 in [0, 1]: mask `number`, with the soft border that `clean(feather=...)` asked for last."""
        softening = [operations for operations in self.operations if operations.feather]
        return (softening or [MaskOperations()])[-1].soften(self.masks[number])

    def cutout(self, number: int) -> Image.Image:
        """What mask `number` shows, cropped to it, the mask as its transparency; RGBA. Where nothing was found, one
        transparent pixel."""
        alpha = np.round(self.soft_mask(number) * 255).astype(np.uint8)
        picture = self.image.convert("RGB")
        picture.putalpha(Image.fromarray(alpha))
        left, top, width, height = mask_to_box(alpha > 0) or (0, 0, 1, 1)
        return picture.crop((left, top, left + width, top + height))

    def _take(self, numbers: list[int]) -> "Segmentation":
        """Some prompts, in any order, or several times."""
        lists = ("labels", "kinds", "thresholds", "scores", "presence", "is_present")
        taken: dict[str, Any] = {name: [getattr(self, name)[number] for number in numbers] for name in lists}
        return replace(self, masks=self.masks[numbers], logits=self.logits[numbers], label_map=None, **taken)

    def _scores(self, parts: Sequence[Sequence[np.ndarray]]) -> list[float]:
        """The mean probability that a pixel belongs to its mask, for each prompt's masks in turn."""
        scores, inverted = [], sum(operations.invert for operations in self.operations) % 2
        for logits, masks in zip(self.logits, parts, strict=True):
            means = means_inside(logits, masks)
            inverts = [inverted and mask.any() for mask in masks]
            scores += [1 - mean if invert else mean for mean, invert in zip(means, inverts, strict=True)]
        return scores

    def overlay(self, *, legend: bool = True, **options: Any) -> Image.Image:
        """The image with its masks in colour, mere outlines where the thing may be absent, and, if wanted, a legend;
        options of `drawing.overlay`."""
        options.setdefault("opacity", [0.5 if present else 0.0 for present in self.is_present])
        return overlay(self.image, self.masks, list(self.captions()) if legend else None, **options)

    def heat_map(self, number: int, **options: Any) -> Image.Image:
        """The image under the probabilities of prompt `number`; options of `drawing.heat_map`."""
        return heat_map(self.image, self.probabilities(number), **options)

    def captions(self) -> Iterator[str]:
        """Each label with what a reader has to know: its score, whether the thing may be absent, or was not found."""
        for label, mask, score, present in zip(self.labels, self.masks, self.scores, self.is_present, strict=True):
            if not mask.any():
                yield f"{label}: not found"
            else:
                yield f"{label}: {score:.2f}" + ("" if present else ", perhaps absent")

    def describe(self) -> list[str]:
        """A line for each prompt: label, score, presence, share of the image, box."""
        width, lines = max(len(label) for label in self.labels), []
        for number, label in enumerate(self.labels):
            box, presence = mask_to_box(self.masks[number]), f"presence {self.presence[number]:.2f}"
            if box is None:
                lines.append(f"{label:{width}}  not found   {presence}")
                continue
            share = self.masks[number].mean()
            doubt = "" if self.is_present[number] else "   (perhaps absent)"
            lines.append(
                f"{label:{width}}  score {self.scores[number]:.2f}  {presence}  {share:6.1%} of the image  "
                f"box {', '.join(map(str, box))}{doubt}"
            )
        return lines

    def to_dict(self, objects: bool = False) -> dict[str, Any]:
        """Everything but the pixels, ready for JSON: `height`, `width`, and for each prompt its label, kind, threshold,
        box, area, score, presence and COCO RLE; if wanted, also box, area, score and RLE of each of its `objects()`."""
        prompts: list[dict[str, Any]] = []
        for number, label in enumerate(self.labels):
            prompts.append(
                {
                    "prompt": label,
                    "kind": self.kinds[number],
                    "threshold": self.thresholds[number],
                    "box": mask_to_box(self.masks[number]),
                    "area": int(self.masks[number].sum()),
                    "score": round(self.scores[number], 6),
                    "presence": round(self.presence[number], 6),
                    "is_present": self.is_present[number],
                    "rle": encode_rle(self.masks[number]),
                }
            )
        if objects:
            for number, entry in enumerate(prompts):
                parts = self._take([number]).objects()
                entry["objects"] = [
                    {"box": box, "area": area, "score": round(score, 6), "rle": rle}
                    for box, area, score, rle in zip(parts.boxes, parts.areas, parts.scores, parts.rles, strict=True)
                    if area
                ]
        return {"height": self.image.height, "width": self.image.width, "prompts": prompts}


def _masks_of(label_map: np.ndarray, count: int) -> np.ndarray:
    """(h, w) numbers, counted from 1 -> (count, h, w) bool."""
    masks = np.empty((count, *label_map.shape), dtype=bool)
    for number, mask in enumerate(masks):
        np.equal(label_map, number + 1, out=mask)
    return masks
