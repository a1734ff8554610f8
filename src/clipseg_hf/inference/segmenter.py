"""`Segmenter`: load a model once, then ask many images for many things."""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from PIL import Image

from clipseg_hf.inference.onnx_model import OnnxModel, load_onnx
from clipseg_hf.inference.prompt_reading import PromptLike, read_prompts
from clipseg_hf.inference.prompts import Combination
from clipseg_hf.inference.question import EncodedImage, Question, name_once
from clipseg_hf.inference.results import Segmentation
from clipseg_hf.inference.tiling.answering import answer_tiles
from clipseg_hf.inference.tiling.bands import Bands, open_bands
from clipseg_hf.inference.tiling.settings import Tiling
from clipseg_hf.processing.images import ImageLike, load_image
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.thresholds import threshold_of_each

if TYPE_CHECKING:  # a model in ONNX needs neither of them
    import torch

    from clipseg_hf.modeling import CLIPSegForImageSegmentation
    from clipseg_hf.processing import CLIPSegProcessor
    from clipseg_hf.processing.plain.processor import PlainProcessor

KEPT_VECTORS = 1024  # 2 MB with the released checkpoints
ENCODED_AT_ONCE = 16  # texts or example images; bounds the memory


class Runner(Protocol):
    """A model, asked in arrays; what comes in between is its own."""

    @property
    def image_prompt_weight(self) -> float:
        """Of an example beside a text, where a prompt says none."""

    def encode_images(self, pixel_values: np.ndarray) -> Iterable[Any]:
        """(B, 3, H, W) -> what the decoder needs to know of each."""

    def encode_prompts(self, **rows: np.ndarray) -> Sequence[Any]:
        """R rows of `input_ids` and `attention_mask`, or of `conditional_pixel_values` -> R vectors (D,)."""

    def mix(self, texts: Any, images: Any, text_to_prompt: Any, image_to_prompt: Any, weights: list[float]) -> Any:
        """Vectors, None where there are none, and the prompt of each -> (N, D); see `mix_prompts`."""

    def decode(self, features: Any, vectors: Any) -> np.ndarray:
        """One image and (N, D) -> logits (N, H, W) float32."""


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
        tiling: ask pictures that are larger than the model's input tile by tile; see `Tiling`. Then `batch_size` is a
            number of tiles, and of a TIFF file only windows are read, where rasterio is installed.
        guided_filter: let the borders of masks follow the picture's edges, for checkpoints without a refiner; see
            `GuidedFilter`. With `tiling` in each tile, so at more of the picture's own pixels.
    """

    def __init__(
        self,
        model: "CLIPSegForImageSegmentation | OnnxModel",
        processor: "CLIPSegProcessor | PlainProcessor",
        *,
        prompt_templates: str | Sequence[str] | None = None,
        batch_size: int = 1,
        tiling: Tiling | None = None,
        guided_filter: GuidedFilter | None = None,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is a number of images of at least 1, got {batch_size}.")
        if not isinstance(tiling, Tiling | None):
            raise TypeError(f"tiling is a Tiling(...) or None, got {tiling!r}.")
        if not isinstance(guided_filter, GuidedFilter | None):
            raise TypeError(f"guided_filter is a GuidedFilter(...) or None, got {guided_filter!r}.")
        self.model: Any = model if isinstance(model, OnnxModel) else model.eval()
        self.processor: Any = processor
        self.prompt_templates, self.batch_size, self.tiling = prompt_templates, batch_size, tiling
        self.guided_filter = guided_filter
        self._vectors: OrderedDict[Any, Any] = OrderedDict()
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
        backend: Literal["torch", "onnx"] = "torch",
        device: "torch.device | str | None" = None,
        dtype: "torch.dtype | str | None" = None,
        prompt_templates: str | Sequence[str] | None = None,
        batch_size: int = 1,
        tiling: Tiling | None = None,
        guided_filter: GuidedFilter | None = None,
        **kwargs: Any,
    ) -> "Segmenter":
        """Load model and processor from a folder or the Hub.

        Args:
            name_or_path: of a CLIPSeg checkpoint; "emoji-tiny" is the one inside of this package.
            backend: "onnx" runs what `clipseg-hf export onnx` wrote, by onnxruntime; it imports neither torch nor
                transformers.
            device: None: a GPU where there is one, else the CPU; see `find_device`.
            dtype: `torch.bfloat16` is 3 to 4 times as fast on many machines; None: as `from_pretrained`. In ONNX
                "float32", "float16" or "int8", as far as they were exported.
            prompt_templates, batch_size, tiling, guided_filter: see the class.
            kwargs: where the files are (`revision`, `token`, `cache_dir`, ...); in ONNX also `num_threads`, which
                `torch.set_num_threads` does not reach.

        Raises:
            ValueError: a device that is not there, or a checkpoint of another kind of model.
            OSError: there is no such checkpoint, or it cannot be reached.
            ImportError: torch or onnxruntime is missing.
        """
        own: dict[str, Any] = {"prompt_templates": prompt_templates, "batch_size": batch_size}
        own |= {"tiling": tiling, "guided_filter": guided_filter}
        if backend == "onnx":
            return cls(*load_onnx(name_or_path, dtype=dtype, device=device, **kwargs), **own)
        if backend != "torch":
            raise ValueError(f"backend is 'torch' or 'onnx', got {backend!r}.")
        if missing := [name for name in ("torch", "transformers") if find_spec(name) is None]:
            raise ImportError(f"{' and '.join(missing)} must be installed, unless backend='onnx' runs an export.")
        from clipseg_hf.modeling import CLIPSegForImageSegmentation
        from clipseg_hf.modeling.devices import find_device
        from clipseg_hf.processing import CLIPSegProcessor

        device = find_device(device)
        options: dict[str, Any] = {} if dtype is None else {"dtype": dtype}
        processor = CLIPSegProcessor.from_pretrained(name_or_path, **kwargs)
        model = CLIPSegForImageSegmentation.from_pretrained(name_or_path, **options, **kwargs).to(device)
        return cls(model, processor, **own)

    @property
    def _runner(self) -> Runner:
        if isinstance(self.model, OnnxModel):
            return self.model
        from clipseg_hf.inference.torch_runner import TorchRunner

        return TorchRunner(self.model)

    @property
    def image_prompt_weight(self) -> float:
        """An example's share beside a text, where a prompt says none: the checkpoint's own, or one half."""
        return self._runner.image_prompt_weight

    def __call__(
        self,
        images: ImageLike | Iterable[ImageLike],
        prompts: PromptLike | Sequence[PromptLike] | Question,
        threshold: float | Sequence[float] | None = None,
    ) -> list[Segmentation]:
        """Ask each image for each prompt.

        Args:
            images: one or several, whatever `load_image` takes.
            prompts: one or several; a string is a text, or several that make one mask (`parse_prompt`);
                or what `ask` made of them.
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
        prompts: PromptLike | Sequence[PromptLike] | Question,
        threshold: float | Sequence[float] | None = None,
    ) -> Iterator[Segmentation]:
        """As a call, one result after the other, so that any number of images fits into memory."""
        question = prompts if isinstance(prompts, Question) else self.ask(prompts)
        if threshold is not None:
            threshold_of_each(threshold, len(question.prompts))  # said before the first image is read
        batch: list = []
        for number, image in enumerate(_as_images(images)):
            if self.tiling is not None:
                yield self._segment_tiles(open_bands(image, f"images[{number}]"), question, threshold, self.tiling)
                continue
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

    def encode(self, image: ImageLike) -> EncodedImage:
        """Show the model one image, whatever `load_image` takes; each question then costs the decoder alone.

        street = segmenter.encode("street.jpg")
        found = street.answer(segmenter.ask("a car"), threshold=0.4)

        It is looked at as a whole, also by a segmenter with `tiling`.
        """
        picture = load_image(image)
        return EncodedImage(picture, next(self._encode_images([picture])), self._runner.decode, self.guided_filter)

    def _segment(
        self, images: list, question: Question, threshold: float | Sequence[float] | None
    ) -> list[Segmentation]:
        answers = self._decode(images, question)
        return [
            question.answer(image, logits, threshold, self.guided_filter)
            for image, logits in zip(images, answers, strict=True)
        ]

    def _segment_tiles(
        self, bands: Bands, question: Question, threshold: float | Sequence[float] | None, tiling: Tiling
    ) -> Segmentation:
        tile = tiling.tile_for(bands.size, self.processor.image_processor.size)
        if tile == bands.size:
            return self._segment([bands.read(0, bands.size[0])], question, threshold)[0]
        decode = partial(self._decode, question=question)
        return answer_tiles(bands, question, decode, tiling, tile, threshold, self.guided_filter)

    def _decode(self, images: Sequence[Image.Image], question: Question) -> Iterator[np.ndarray]:
        """The (P, H, W) logits of each."""
        return (self._runner.decode(features, question.embeddings) for features in self._encode_images(images))

    def _encode_images(self, images: Sequence[Image.Image]) -> Iterator[Any]:
        """What the decoder needs to know of each."""
        for start in range(0, len(images), self.batch_size):
            batch = list(images[start : start + self.batch_size])
            yield from self._runner.encode_images(self.processor(images=batch, return_tensors="np")["pixel_values"])

    def embed(self, prompts: PromptLike | Sequence[PromptLike]) -> tuple[Any, list[str]]:
        """The vectors of prompts, for `model(conditional_embeddings=...)`, and the kind of each.

        Returns:
            (N, D), a tensor, or an array of a model in ONNX; and "text", "image" or "mixed" N times.

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
            return_tensors="np",
        )
        text_vectors = image_vectors = None
        if has_text:
            rows = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            words = np.where(rows["attention_mask"] == 0, -1, rows["input_ids"])  # however far it is padded
            text_vectors = self._encode([tuple(t for t in row if t >= 0) for row in words.tolist()], rows)
        if has_image:
            pixels = inputs["conditional_pixel_values"].astype(np.float32)
            hashes = [hashlib.blake2b(row.tobytes()).digest() for row in pixels]
            image_vectors = self._encode(hashes, {"conditional_pixel_values": pixels})
        owners = inputs.get("text_to_prompt"), inputs.get("conditional_to_prompt")
        runner = self._runner
        own = runner.image_prompt_weight
        weights = [own if prompt.weight is None else float(prompt.weight) for prompt in singles]
        return runner.mix(text_vectors, image_vectors, *owners, weights), list(inputs.prompt_kinds or ())

    def _encode(self, keys: list, rows: dict[str, np.ndarray]) -> list:
        """The vector of each row: encoded now, or kept from an earlier time."""
        with self._encoding:
            missing = list({key: number for number, key in enumerate(keys) if key not in self._vectors}.values())
            for start in range(0, len(missing), ENCODED_AT_ONCE):
                numbers = missing[start : start + ENCODED_AT_ONCE]
                vectors = self._runner.encode_prompts(**{name: array[numbers] for name, array in rows.items()})
                self._vectors.update((keys[number], vector) for number, vector in zip(numbers, vectors, strict=True))
            found = [self._vectors[key] for key in keys]
            for key in keys:
                self._vectors.move_to_end(key)
            while len(self._vectors) > KEPT_VECTORS:
                self._vectors.popitem(last=False)
            return found


def _as_images(images: ImageLike | Iterable[ImageLike]) -> Iterable[ImageLike]:
    is_one = isinstance(images, (str, bytes, bytearray, os.PathLike, Image.Image, Mapping)) or hasattr(images, "read")
    is_one = is_one or getattr(images, "ndim", 4) <= 3
    is_one = is_one or not (hasattr(images, "__iter__") or hasattr(images, "__getitem__"))  # what it is, is told later
    return [images] if is_one else images
