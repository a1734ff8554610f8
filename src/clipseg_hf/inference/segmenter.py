"""`Segmenter`: load a model once, then ask many images for many things."""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from clipseg_hf.inference.prompt_reading import PromptLike, read_prompts
from clipseg_hf.inference.prompts import Combination
from clipseg_hf.inference.question import Question, name_once
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.devices import find_device
from clipseg_hf.modeling.layers.conditioning import mix_prompts
from clipseg_hf.processing import CLIPSegProcessor, load_image
from clipseg_hf.processing.images import ImageLike
from clipseg_hf.processing.thresholds import threshold_of_each

KEPT_VECTORS = 1024  # 2 MB with the released checkpoints
ENCODED_AT_ONCE = 16  # texts or example images; bounds the memory


class Segmenter:
    """Segments images by texts, example images and mixtures of both.

        segmenter = Segmenter.from_pretrained("CIDAS/clipseg-rd64-refined")
        result = segmenter("street.jpg", ["a car", Prompt(image="cat.jpg", mask="cat-mask.png")])[0]
        result.overlay().save("overlay.png")

    Every image is encoded once however many prompts it has, and every prompt once however many images and calls it is
    used in. Threads may share one.

    Args:
        model: on its device, in its floating-point type.
        processor: that belongs to it.
        prompt_templates: "a photo of a {}." or several of the kind, whose vectors are averaged; None: texts as given.
        batch_size: images encoded at once; more than 1 pays on an accelerator, and needs images of one size after the
            processor (as with the default 352 x 352).
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        processor: CLIPSegProcessor,
        *,
        prompt_templates: str | Sequence[str] | None = None,
        batch_size: int = 1,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is a number of images of at least 1, got {batch_size}.")
        self.model, self.processor = model.eval(), processor
        self.prompt_templates, self.batch_size = prompt_templates, batch_size
        self._vectors: OrderedDict[Any, Tensor] = OrderedDict()
        self._encoding = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_encoding"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _encoding=threading.Lock())

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        prompt_templates: str | Sequence[str] | None = None,
        batch_size: int = 1,
        **kwargs: Any,
    ) -> "Segmenter":
        """Load model and processor from a folder or the Hub.

        Args:
            name_or_path: of a CLIPSeg checkpoint; "emoji-tiny" is the one inside of this package.
            device: None: a GPU where there is one, else the CPU; see `find_device`.
            dtype: `torch.bfloat16` is 3 to 4 times as fast on many machines; None: as `from_pretrained`.
            prompt_templates, batch_size: see the class.
            kwargs: where the files are (`revision`, `token`, `cache_dir`, ...).

        Raises:
            ValueError: a device that is not there, or a checkpoint of another kind of model.
            OSError: there is no such checkpoint, or it cannot be reached.
        """
        device = find_device(device)
        options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
        processor = CLIPSegProcessor.from_pretrained(name_or_path, **kwargs)
        model = CLIPSegForImageSegmentation.from_pretrained(name_or_path, **options, **kwargs).to(device)
        return cls(model, processor, prompt_templates=prompt_templates, batch_size=batch_size)

    def __call__(
        self,
        images: ImageLike | Iterable[ImageLike],
        prompts: PromptLike | Sequence[PromptLike],
        threshold: float | Sequence[float] | None = None,
    ) -> list[Segmentation]:
        """Ask each image for each prompt.

        Args:
            images: one or several, whatever `load_image` takes.
            prompts: one or several; a string is a text, or several that make one mask (`parse_prompt`).
            threshold: probability above which a pixel belongs to a mask, one or one for each prompt; None: the
                checkpoint's own for the kind of each prompt. What is combined has one half as its own, and these are
                the thresholds of its parts.

        Returns:
            one `Segmentation` for each image, also for a single one.
        """
        return list(self.stream(images, prompts, threshold))

    def stream(
        self,
        images: ImageLike | Iterable[ImageLike],
        prompts: PromptLike | Sequence[PromptLike],
        threshold: float | Sequence[float] | None = None,
    ) -> Iterator[Segmentation]:
        """As a call, one result after the other, so that any number of images fits into memory."""
        question = self.ask(prompts)
        if threshold is not None:
            threshold_of_each(threshold, len(question.prompts))  # said before the first image is read
        batch: list = []
        for number, image in enumerate(_as_images(images)):
            batch.append(load_image(image, f"images[{number}]"))
            if len(batch) == self.batch_size:
                yield from self._segment(batch, question, threshold)
                batch = []
        if batch:
            yield from self._segment(batch, question, threshold)

    def ask(self, prompts: PromptLike | Sequence[PromptLike]) -> Question:
        """Make prompts ready for any number of images: each that is named is encoded once."""
        given = read_prompts(prompts)
        named, parts = name_once(given)
        return Question(given, *self.embed(named), parts, self.processor.mask_thresholds)

    @torch.inference_mode()
    def _segment(
        self, images: list, question: Question, threshold: float | Sequence[float] | None
    ) -> list[Segmentation]:
        pixel_values = self.processor(images=images, return_tensors="pt")["pixel_values"]
        features = self.model.get_vision_features(pixel_values.to(self.model.device, self.model.dtype))
        results = []
        for number, image in enumerate(images):
            output = self.model(vision_embeds=features.select(number), conditional_embeddings=question.embeddings)
            results.append(question.answer(image, output.logits.float().cpu(), threshold))
        return results

    @torch.inference_mode()
    def embed(self, prompts: PromptLike | Sequence[PromptLike]) -> tuple[Tensor, list[str]]:
        """The vectors of prompts, for `model(conditional_embeddings=...)`, and the kind of each.

        Returns:
            (N, D), and "text", "image" or "mixed" N times.

        Raises:
            ValueError: a combination among them, which has no vector, only masks.
        """
        singles = []
        for prompt in read_prompts(prompts):
            if isinstance(prompt, Combination):
                raise ValueError(f"{prompt.label!r} combines prompts and has no vector of its own: embed its parts.")
            singles.append(prompt)
        texts, images, masks = ([getattr(p, name) for p in singles] for name in ("text", "image", "mask"))
        has_text, has_image = (any(part is not None for part in parts) for parts in (texts, images))
        inputs = self.processor(
            text=texts if has_text or not has_image else None,
            visual_prompt=images if has_image else None,
            visual_prompt_masks=masks if any(mask is not None for mask in masks) else None,
            prompt_templates=self.prompt_templates if has_text else None,
            return_tensors="pt",
        )
        text_vectors = image_vectors = None
        if has_text:
            rows = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            words = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -1)  # however far it is padded
            text_vectors = self._encode([tuple(t for t in row if t >= 0) for row in words.tolist()], rows)
        if has_image:
            pixels = inputs["conditional_pixel_values"].to(self.model.dtype)
            hashes = [hashlib.blake2b(row.float().numpy().tobytes()).digest() for row in pixels]
            image_vectors = self._encode(hashes, {"conditional_pixel_values": pixels})
        weights = torch.tensor([float(prompt.weight) for prompt in singles])
        of_text, of_image = inputs.get("text_to_prompt"), inputs.get("conditional_to_prompt")
        vectors = mix_prompts(text_vectors, image_vectors, of_text, of_image, weights, num_prompts=len(singles))
        return vectors, list(inputs.prompt_kinds or ())

    def _encode(self, keys: list, rows: dict[str, Tensor]) -> Tensor:
        """The vector of each row, (R, D): encoded now, or kept from an earlier time."""
        with self._encoding:
            missing = list({key: number for number, key in enumerate(keys) if key not in self._vectors}.values())
            for start in range(0, len(missing), ENCODED_AT_ONCE):
                numbers = missing[start : start + ENCODED_AT_ONCE]
                some = {name: tensor[numbers].to(self.model.device) for name, tensor in rows.items()}
                vectors = self.model.get_conditional_embeddings(**some)
                self._vectors.update((keys[number], vector) for number, vector in zip(numbers, vectors, strict=True))
            found = torch.stack([self._vectors[key] for key in keys])
            for key in keys:
                self._vectors.move_to_end(key)
            while len(self._vectors) > KEPT_VECTORS:
                self._vectors.popitem(last=False)
            return found


def _as_images(images: ImageLike | Iterable[ImageLike]) -> Iterable[ImageLike]:
    is_one = isinstance(images, (str, bytes, os.PathLike, Image.Image)) or hasattr(images, "read")
    is_one = is_one or getattr(images, "ndim", 4) <= 3
    return [images] if is_one else images
