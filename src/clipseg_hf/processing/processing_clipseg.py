"""`CLIPSegProcessor`: pictures, phrases and masks in; what the model takes out; its logits back to masks."""

import difflib
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from transformers import AutoTokenizer
from transformers.processing_utils import ProcessorMixin

from clipseg_hf.modeling.configuration import vision_fields
from clipseg_hf.modeling.model_names import resolve_name
from clipseg_hf.processing.checkpoints import (
    broken_json_named,
    clip_image_processor,
    read_model_config,
    refuse_empty_tokenizer,
)
from clipseg_hf.processing.images import ImageLike, load_image
from clipseg_hf.processing.inputs import CLIPSegInputs
from clipseg_hf.processing.pixels import PixelReader
from clipseg_hf.processing.postprocessing import PromptedMask, follow_edges, prompted_masks, semantic_maps
from clipseg_hf.processing.preparing import prepare, refuse_without_effect, stack_arrays
from clipseg_hf.processing.thresholds import read_thresholds, thresholds_for
from clipseg_hf.processing.visual_prompts import VisualPromptSettings, read_settings


class CLIPSegProcessor(ProcessorMixin):
    """Prepares pictures and prompts for CLIPSeg, and turns its logits into masks.

    A drop-in for `transformers.CLIPSegProcessor`: same files, same arguments in the same order, and the same numbers
    for upright RGB pictures.

    Args:
        image_processor: `ViTImageProcessor` of transformers; its size is 352 x 352 in released checkpoints.
            `{"shortest_edge": 352}` keeps a picture's aspect ratio, rounded to the patch size.
        tokenizer: `CLIPTokenizer`.
        patch_size: of the model; read from config.json where it lies beside the processor.
        visual_prompt_settings: how pictures with masks become visual prompts; `VisualPromptSettings` or its fields.
        mask_thresholds: probabilities above which a pixel belongs to the mask of a "text", "image" or "mixed" prompt,
            and above which a thing counts as present ("presence"); read from config.json where it lies beside the
            processor, and the paper's 0.3 for what nobody names.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        patch_size: int = 16,
        visual_prompt_settings: VisualPromptSettings | Mapping[str, Any] | None = None,
        mask_thresholds: Mapping[str, float] | None = None,
    ):
        super().__init__(image_processor, tokenizer)
        self.patch_size = patch_size
        self.visual_prompt_settings = read_settings(visual_prompt_settings)
        self.mask_thresholds = read_thresholds(mask_thresholds)

    @classmethod
    def from_pretrained(  # type: ignore[override]  # stock's options of the Hub are in kwargs
        cls,
        pretrained_model_name_or_path: str | os.PathLike,
        *,
        patch_size: int | None = None,
        visual_prompt_settings: VisualPromptSettings | Mapping[str, Any] | None = None,
        mask_thresholds: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load from a folder or the Hub: a checkpoint of this project, of transformers, or one of the old CIDAS ones.

        Args:
            pretrained_model_name_or_path: folder or Hub name, or "emoji-tiny", the checkpoint inside of this package.
            patch_size, visual_prompt_settings, mask_thresholds: in place of what the checkpoint says; of the latter two
                those alone that are named.
            kwargs: as in transformers (`revision`, `token`, `cache_dir`, ...).

        Raises:
            TypeError: an option that is nearly one of these.
            ValueError: a setting that cannot be; the tokenizer's files are missing, or one that cannot be read.
        """
        own = ("patch_size", "visual_prompt_settings", "mask_thresholds")
        for option in kwargs:  # transformers takes any
            if close := difflib.get_close_matches(option, own, n=1, cutoff=0.8):
                raise TypeError(f"CLIPSegProcessor knows no option {option!r}. Did you mean {close[0]!r}?")
        name = pretrained_model_name_or_path if kwargs.get("subfolder") else resolve_name(pretrained_model_name_or_path)
        with broken_json_named(name):
            processor = super().from_pretrained(name, **kwargs)
        refuse_empty_tokenizer(processor.tokenizer, name)
        config = read_model_config(name, kwargs)
        if config is not None:  # the model's own file has the last word: it is what calibration rewrites
            processor.patch_size = vision_fields(config).patch_size
            thresholds = getattr(config, "mask_thresholds", None)
            processor.mask_thresholds = read_thresholds(thresholds or processor.mask_thresholds)
        processor.patch_size = patch_size or processor.patch_size
        processor.mask_thresholds = read_thresholds(mask_thresholds, processor.mask_thresholds)
        processor.visual_prompt_settings = read_settings(visual_prompt_settings, processor.visual_prompt_settings)
        return processor

    @classmethod
    def from_clip(
        cls, clip_name_or_path: str | os.PathLike, *, size: int | tuple[int, int] | None = None, **kwargs: Any
    ) -> Self:
        """The processor for a decoder on any CLIP: its tokenizer, its normalisation, and a size that its patch divides.

        Args:
            clip_name_or_path: folder or Hub name of a `CLIPModel` checkpoint.
            size: (height, width) of pictures, or one number. Left out: 352, or 11/7 of the CLIP's own size where that
                is less (the paper's 352 for a CLIP of 224), rounded to the patch size.
            kwargs: as in transformers (`revision`, `token`, `cache_dir`, ...).

        Raises:
            ValueError: another kind of checkpoint, a size that the patch does not divide, or the tokenizer's files are
                missing.
        """
        image_processor, patch_size = clip_image_processor(clip_name_or_path, size, kwargs)
        tokenizer = AutoTokenizer.from_pretrained(clip_name_or_path, **kwargs)
        refuse_empty_tokenizer(tokenizer, clip_name_or_path)
        return cls(image_processor, tokenizer, patch_size=patch_size)

    def to_dict(self) -> dict[str, Any]:
        """What processor_config.json holds."""
        return super().to_dict() | {"visual_prompt_settings": self.visual_prompt_settings.to_dict()}

    def __call__(
        self,
        text: str | Sequence | None = None,
        images: ImageLike | Sequence | None = None,
        visual_prompt: ImageLike | Sequence | None = None,
        visual_prompt_masks: ImageLike | Sequence | None = None,
        segmentation_maps: ImageLike | Sequence | None = None,
        *,
        ignore_index: int | None = None,
        prompt_templates: str | Sequence[str] | None = None,
        visual_prompt_settings: VisualPromptSettings | Mapping[str, Any] | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> CLIPSegInputs:
        """Prepare images and prompts.

        Args:
            text: phrases, see below.
            images: B images to look at; what counts as an image: `load_image`.
            visual_prompt: example images, see below.
            visual_prompt_masks: where the object is in each example image, in the same nesting; the visual prompt is
                then made by crop, blur and dimming. None for one that is a visual prompt already, or to be taken whole.
            segmentation_maps: the truth, one mask for each prompt or one index map for each image (`make_labels`).
            ignore_index: the number in `segmentation_maps` that marks pixels which do not count; it stays in the
                labels, so give it to the model as well: `model(**inputs, ignore_index=255)`.
            prompt_templates: "a photo of a {}." or several of the kind; with several the model averages the vectors.
            visual_prompt_settings: for this call, in place of the processor's.
            return_tensors: "pt" or "np"; left out, lists as in transformers.
            kwargs: options of the tokenizer and of the image processor, as in transformers; a name that neither
                knows is an error.

        Prompts come in a flat list - as many as images, or any number for a single image - or as one list for each
        image. With texts and example images for the same prompts, give both in the same order and nesting, None where a
        prompt has only one of the two. A tuple of example images belongs to one prompt (its vectors are averaged).

        Returns:
            `CLIPSegInputs` with what applies of
            - pixel_values (B, 3, H, W);
            - input_ids, attention_mask (T, L), and text_to_prompt (T,) where row n is not simply prompt n;
            - conditional_pixel_values (S, 3, h, w), and conditional_to_prompt (S,) likewise;
            - prompt_to_image (N,) where prompts and images are not paired one to one and there are several images;
            - labels (N, H, W) float32 in [0, 1], and `ignore_index`;
            and, as attributes, `original_sizes` and `prompt_kinds`.
        """
        refuse_without_effect(
            "visual_prompt_settings", visual_prompt_settings, "visual_prompt_masks", visual_prompt_masks
        )
        text_options, image_options = self._split_options(kwargs)
        return_tensors = return_tensors or text_options.get("return_tensors") or image_options.get("return_tensors")
        text_options["return_tensors"] = return_tensors
        reader = PixelReader(self.image_processor, image_options, self.patch_size)

        prepared = prepare(
            self.tokenizer,
            reader,
            text=text,
            images=images,
            visual_prompt=visual_prompt,
            visual_prompt_masks=visual_prompt_masks,
            segmentation_maps=segmentation_maps,
            ignore_index=ignore_index,
            prompt_templates=prompt_templates,
            visual_prompt_settings=read_settings(visual_prompt_settings, self.visual_prompt_settings),
            text_options=text_options,
        )
        data = stack_arrays(prepared.data) if return_tensors else prepared.data
        inputs = CLIPSegInputs(data, tensor_type=return_tensors)
        inputs.original_sizes = prepared.original_sizes
        inputs.prompt_kinds = prepared.prompt_kinds
        return inputs

    def post_process_prompted_segmentation(
        self,
        outputs: Any,
        target_sizes: Sequence[tuple[int, int]] | None = None,
        threshold: float | Sequence[float] | None = None,
        prompt_kinds: str | Sequence[str] | None = None,
        guides: Sequence[ImageLike] | None = None,
    ) -> list[list[PromptedMask]]:
        """The model's output -> the mask of each prompt, by image.

        Args:
            outputs: of the model, this one or transformers'.
            target_sizes: (height, width) of each image, `inputs.original_sizes`; left out, masks have the size of the
                logits.
            threshold: probability above which a pixel belongs to the mask, one or one for each prompt; left out, the
                checkpoint's own for the kind of each prompt.
            prompt_kinds: "text", "image" or "mixed", one or one for each prompt: `inputs.prompt_kinds`. Left out, what
                the output says, and text where it says nothing.
            guides: the pictures, one for each image, for masks that follow their edges (`GuidedFilter`, a few
                milliseconds for each prompt); for checkpoints without a refiner.

        Returns:
            for each image, for each of its prompts: a `PromptedMask` with mask, probabilities, score, presence and
            is_present. `results[0][0].mask` and `results[0][0]["mask"]` are the same.
        """
        own, owners = _logits_of(outputs), getattr(outputs, "prompt_to_image", None)
        logits = own
        if guides is not None:
            pictures = [load_image(guide, f"guides[{number}]") for number, guide in enumerate(guides)]
            logits = follow_edges(own, owners, pictures)
        thresholds = self._thresholds(threshold, prompt_kinds or getattr(outputs, "prompt_kinds", None), logits)
        return prompted_masks(logits, owners, target_sizes, thresholds, self.mask_thresholds["presence"], own)

    def post_process_semantic_segmentation(
        self,
        outputs: Any,
        target_sizes: Sequence[tuple[int, int]] | None = None,
        labels: Sequence[int] | Sequence[Sequence[int]] | None = None,
        background_threshold: float | Sequence[float] | None = None,
        prompt_kinds: str | Sequence[str] | None = None,
    ) -> list[torch.Tensor]:
        """The model's output -> one label map (h, w) int64 for each image.

        Args:
            outputs, target_sizes, prompt_kinds: as in `post_process_prompted_segmentation`.
            labels: the number that each prompt of an image stands for; left out, 1, 2, ... in their order.
            background_threshold: where no prompt is above it, the map is 0; left out, the checkpoint's thresholds.
                0 gives every pixel to a prompt.
        """
        logits, owners = _logits_of(outputs), getattr(outputs, "prompt_to_image", None)
        kinds = prompt_kinds or getattr(outputs, "prompt_kinds", None)
        thresholds = self._thresholds(background_threshold, kinds, logits)
        return semantic_maps(logits, owners, target_sizes, thresholds, labels)

    def _thresholds(
        self, given: float | Sequence[float] | None, kinds: str | Sequence[str] | None, logits: torch.Tensor
    ) -> float | Sequence[float]:
        if given is not None:
            return given
        return thresholds_for(kinds, 1 if logits.ndim == 2 else len(logits), self.mask_thresholds)

    def _split_options(self, kwargs: dict[str, Any]) -> tuple[dict, dict]:
        """Options of one call -> those of the tokenizer, those of the image processor."""
        known = {"text_kwargs", "images_kwargs", "common_kwargs"}
        for part in ("text_kwargs", "images_kwargs"):
            known |= set(self.valid_processor_kwargs.__annotations__[part].__annotations__)
        known |= set(self.image_processor.valid_kwargs.__annotations__)
        for name in kwargs:
            if name not in known:
                own = inspect.signature(type(self).__call__).parameters
                close = difflib.get_close_matches(name, [*(set(own) - {"self", "kwargs"}), *known], n=1)
                hint = f" Did you mean {close[0]!r}?" if close else ""
                raise TypeError(f"CLIPSegProcessor knows no option {name!r}.{hint}")
        tokenizer_options = self.tokenizer.init_kwargs
        known_kwargs: Any = self.valid_processor_kwargs
        merged = self._merge_kwargs(known_kwargs, tokenizer_init_kwargs=tokenizer_options, **kwargs)
        return merged["text_kwargs"], merged["images_kwargs"]


def _logits_of(outputs: Any) -> torch.Tensor:
    if not hasattr(outputs, "logits"):
        raise TypeError(
            f"outputs is what the model returns, with its logits and which image each prompt asked about; got a "
            f"{type(outputs).__name__}."
        )
    return outputs.logits
