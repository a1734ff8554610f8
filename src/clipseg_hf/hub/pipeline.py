"""transformers' `pipeline` for prompts: images in; labels, scores and masks out, as of its image segmentation."""

import os
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import Pipeline

from clipseg_hf._auto_classes import TASK
from clipseg_hf.hub.pipeline_inputs import default_prompts, unwrap_base64
from clipseg_hf.inference.prompt_reading import PromptLike
from clipseg_hf.inference.question import Question
from clipseg_hf.inference.segmenter import Segmenter
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.model_names import resolve_name
from clipseg_hf.processing import CLIPSegProcessor, load_image
from clipseg_hf.processing.masks.guided_filter import GuidedFilter
from clipseg_hf.processing.masks.operations import MaskOperations
from clipseg_hf.processing.preparing import stack_arrays

SUBTASKS = ("prompted", "semantic")
OPERATIONS = tuple(field.name for field in fields(MaskOperations))
Prompts = PromptLike | Sequence[PromptLike]


def pipeline(
    task: str = TASK, model: str | os.PathLike | CLIPSegForImageSegmentation | None = None, **options: Any
) -> "PromptedImageSegmentationPipeline":
    """transformers' `pipeline` of this task, for every name that a checkpoint has here.

        segment = clipseg_hf.pipeline("prompted-image-segmentation", model="emoji-tiny", prompts=["dog", "sunflower"])
        for found in segment("street.jpg"):
            print(found["label"], found["score"], found["box"])

    Args:
        task: "prompted-image-segmentation".
        model: folder or Hub name, whole or decoder-only, "emoji-tiny", or the model itself (then with `processor`).
            Left out: the authors' checkpoint.
        options: as of transformers' `pipeline` (`device`, `device_map`, `dtype`, `revision`, `token`, `batch_size`,
            ...), and what a call of the pipeline takes (`prompts`, `threshold`, `subtask`), as its default. Weights
            stored in float16 load as float32 unless `dtype` says otherwise.

    Raises:
        ValueError: another task, or a checkpoint of another kind.
    """
    if task != TASK:
        raise ValueError(
            f"clipseg_hf.pipeline makes {TASK!r}, got {task!r}: other tasks are with transformers.pipeline. If this is "
            f"the model, give it by its name: pipeline(model={task!r})."
        )
    if isinstance(model, (str, os.PathLike)):
        model = resolve_name(model)
    if not {"dtype", "torch_dtype"} & (options.keys() | (options.get("model_kwargs") or {}).keys()):
        options["dtype"] = None  # transformers' "auto" would keep float16, in which the decoder is fragile
    return transformers.pipeline(task, model=model, **options)


class PromptedImageSegmentationPipeline(Pipeline):
    """Segments images by texts, example images and mixtures of both; made by `pipeline`.

    Each image is encoded once for all its prompts, and each prompt once, whatever the batching.
    """

    _own: tuple[tuple[str, ...], Question] | None = None
    _load_processor = True
    _load_image_processor = _load_tokenizer = _load_feature_extractor = _load_video_processor = False

    def __init__(self, model: CLIPSegForImageSegmentation, *args: Any, **kwargs: Any):
        processor = kwargs.get("processor")
        if not isinstance(model, CLIPSegForImageSegmentation) or not isinstance(processor, CLIPSegProcessor):
            raise TypeError(
                f"{TASK} needs clipseg_hf's CLIPSegForImageSegmentation and its CLIPSegProcessor, got "
                f"{_of_module(model)} and {_of_module(processor)}: give the checkpoint by its name, or both from "
                "clipseg_hf."
            )
        super().__init__(model, *args, **kwargs)

    def __call__(
        self,
        inputs: Any,
        *,
        prompts: Prompts | None = None,
        threshold: float | Sequence[float] | None = None,
        subtask: str | None = None,
        objects: bool | None = None,
        guided_filter: bool | GuidedFilter | None = None,
        **options: Any,
    ) -> Any:
        """Ask images for prompts.

        Args:
            inputs: an image as PIL, path, URL, base64, bytes or array; or a list, a generator or a data set of them
                (`KeyDataset` for one column of a data set).
            prompts: texts, `Prompt`s (example images with masks, mixtures), what is combined of them ("cat | dog"), or
                a list of all; left out, the names in the checkpoint's `id2label`.
            threshold: probability above which a pixel belongs to a mask, one or one for each prompt; left out, the
                checkpoint's own for the kind of each prompt.
            subtask: "prompted": a mask for each prompt; "semantic": each pixel in the mask of one prompt at most, and
                no prompt without a pixel.
            objects: an entry for each connected part of a mask, the largest first, in place of one for each prompt.
            guided_filter: let the borders of masks follow the picture's edges, for checkpoints without a refiner.
            **options: `fill_holes`, `min_area`, `erode`, `dilate`, `invert` and `feather` of `MaskOperations`; and
                transformers' own `batch_size` (images encoded at once; pays on an accelerator) and `num_workers`
                (processes that read and prepare images ahead).

        Returns:
            for an image one dictionary for each prompt, in their order:
            - label: the text, or the prompt's own label;
            - score: mean probability inside of the mask, 0 where it is empty;
            - mask: image of mode "L" and the input's size (the right way up), 0 or 255, between them with `feather`;
            - presence: how sure the model is that the thing is there at all, in [0, 1]; see `presence_scores`;
            - box: COCO's [x, y, width, height] of the mask, None where it is empty.
            For a list, a list of that; for a generator or a data set, an iterator that reads as it goes.

        Raises:
            ValueError: no prompts and none in `id2label`, a threshold, subtask or size that is none, an image that
                cannot be read.
            TypeError: an option that does not exist.
        """
        named = {"prompts": prompts, "threshold": threshold, "subtask": subtask, "objects": objects}
        named["guided_filter"] = guided_filter
        given = {name: value for name, value in named.items() if value is not None}
        return super().__call__(inputs, **given, **options)

    def _sanitize_parameters(
        self,
        prompts: Prompts | None = None,
        threshold: float | Sequence[float] | None = None,
        subtask: str | None = None,
        objects: bool | None = None,
        guided_filter: bool | GuidedFilter | None = None,
        **operations: Any,
    ) -> tuple[dict, dict, dict]:
        unknown = operations.keys() - OPERATIONS
        if unknown:
            raise TypeError(
                f"{TASK} takes prompts, threshold, subtask, objects, guided_filter, {', '.join(OPERATIONS)}; got "
                f"{', '.join(sorted(unknown))}."
            )
        if subtask is not None and subtask not in SUBTASKS:
            raise ValueError(f"subtask is one of {', '.join(SUBTASKS)}; got {subtask!r}.")
        given: dict[str, Any] = {"threshold": threshold, "subtask": subtask, "objects": objects}
        if not isinstance(guided_filter, bool | GuidedFilter | None):
            raise TypeError(f"guided_filter is True, False or a GuidedFilter(...), got {guided_filter!r}.")
        given["guided_filter"] = GuidedFilter() if guided_filter is True else guided_filter
        given["operations"] = MaskOperations(**operations) if operations else None
        asked = {} if prompts is None else {"question": self._segmenter.ask(prompts)}
        return {}, asked, asked | {name: value for name, value in given.items() if value is not None}

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(self.model, self.processor)

    @property
    def _own_question(self) -> Question:
        prompts = tuple(default_prompts(self.model.config))
        if self._own is None or self._own[0] != prompts:  # who sets `model.config.id2label` asks something else
            self._own = prompts, self._segmenter.ask(prompts)
        return self._own[1]

    def preprocess(self, image: Any) -> dict[str, Any]:
        image = load_image(unwrap_base64(image))
        # As an array: transformers collates tensors by itself, and does not say so where their sizes differ.
        return {"pixel_values": self.processor(images=image, return_tensors="np")["pixel_values"][0], "image": image}

    def _forward(self, inputs: dict[str, Any], question: Question | None = None) -> dict[str, Any]:
        question = question or self._own_question
        arrays = inputs["pixel_values"] if isinstance(inputs["image"], list) else [inputs["pixel_values"]]
        pixels = torch.from_numpy(stack_arrays({"pixel_values": arrays})["pixel_values"])  # (B, 3, H, W)
        features = self.model.get_vision_features(pixels.to(self.model.device, self.model.dtype))
        images, prompts = len(pixels), len(question.embeddings)
        logits = self.model(
            vision_embeds=features,
            conditional_embeddings=question.embeddings.repeat(images, 1),
            prompt_to_image=torch.arange(images).repeat_interleave(prompts),
        ).logits
        return {"logits": logits.float().unflatten(0, (images, prompts)), "image": inputs["image"]}  # (B, P, H, W)

    def postprocess(
        self,
        outputs: dict[str, Any],
        question: Question | None = None,
        threshold: float | Sequence[float] | None = None,
        subtask: str = "prompted",
        objects: bool = False,
        guided_filter: GuidedFilter | Literal[False] = False,
        operations: MaskOperations | None = None,
    ) -> list[dict[str, Any]]:
        question = question or self._own_question
        logits = outputs["logits"][0]  # transformers takes a batch apart into batches of one
        result = question.answer(outputs["image"], np.asarray(logits), threshold, guided_filter or None)
        if subtask == "semantic":
            result = result.exclusive()
        if operations:
            result = result.clean(operations)
        if objects:
            result = result.objects()
        masks = (np.round(255 * result.soft_mask(number)).astype(np.uint8) for number in range(len(result)))
        found = zip(result.labels, result.scores, masks, result.presence, result.boxes, strict=True)
        return [
            {
                "label": label,
                "score": score,
                "mask": Image.fromarray(mask),
                "presence": presence,
                "box": box,
            }
            for label, score, mask, presence, box in found
            if subtask == "prompted" or box is not None
        ]

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and processor; transformers' own leaves the processor out, and with it its settings."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


def _of_module(thing: Any) -> str:
    """The type of something with the package that it comes from."""
    return f"{type(thing).__module__.split('.')[0]}.{type(thing).__name__}"
