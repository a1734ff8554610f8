"""What the files of a model say about its processor."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import CLIPConfig, CLIPSegConfig, PreTrainedConfig, ViTImageProcessorPil
from transformers.image_processing_utils import ImageProcessingMixin
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from clipseg_hf._text_files import parse_json, read_text
from clipseg_hf.modeling.configuration import vision_fields
from clipseg_hf.processing.sizes import round_to_patch

DEFAULT_SIZE = 352  # of the released checkpoints, whose CLIP was trained at 224
_CLIP_SIZE = 224
_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


def read_model_config(name_or_path: str | os.PathLike, options: Mapping[str, Any]) -> CLIPSegConfig | None:
    """The configuration of the CLIPSeg model beside a processor, None where there is none.

    Args:
        name_or_path: folder or Hub name.
        options: of `from_pretrained`; those of the Hub are used.
    """
    try:
        fields, _ = PreTrainedConfig.get_config_dict(name_or_path, **_of_the_hub(options))
    except OSError:
        return None
    return CLIPSegConfig.from_dict(fields) if fields.get("model_type") == "clipseg" else None


@contextmanager
def broken_json_named(name_or_path: str | os.PathLike) -> Iterator[None]:
    """What transformers cannot read of a checkpoint's JSON is told with the file's name.

    Raises:
        ValueError: in place of a `JSONDecodeError`.
    """
    try:
        yield
    except json.JSONDecodeError:
        for path in sorted(Path(name_or_path).glob("*.json")):
            parse_json(read_text(path), path)
        raise


def refuse_empty_tokenizer(tokenizer: Any, name_or_path: str | os.PathLike) -> None:
    """Refuse what transformers makes of a checkpoint without its tokenizer's files: one to which all words are alike.

    Raises:
        ValueError: of that kind.
    """
    if len(tokenizer) <= len(set(tokenizer.all_special_tokens)):
        raise ValueError(
            f"The tokenizer of {name_or_path} knows no word: was its tokenizer.json (or vocab.json with merges.txt) "
            "left behind when the checkpoint was copied? Bring it from where that came from."
        )


def clip_image_processor(
    name_or_path: str | os.PathLike, size: int | tuple[int, int] | None, options: Mapping[str, Any]
) -> tuple[ViTImageProcessorPil, int]:
    """The image processor for a decoder on a CLIP, and the CLIP's patch size; see `CLIPSegProcessor.from_clip`.

    Raises:
        ValueError: another kind of checkpoint, or a size that the patch does not divide.
    """
    fields, _ = PreTrainedConfig.get_config_dict(name_or_path, **_of_the_hub(options))
    if fields.get("model_type") != "clip":
        raise ValueError(
            f"from_clip expects a CLIP checkpoint, but {name_or_path} is of type {fields.get('model_type')!r}. "
            "For a CLIPSeg checkpoint use from_pretrained."
        )
    vision = vision_fields(CLIPConfig.from_dict(fields))
    patch_size = vision.patch_size
    if size is None:
        size = round_to_patch(min(DEFAULT_SIZE, vision.image_size * DEFAULT_SIZE / _CLIP_SIZE), patch_size)
    height, width = (size, size) if isinstance(size, int) else size
    if height % patch_size or width % patch_size:
        fitting = " x ".join(str(round_to_patch(side, patch_size)) for side in (height, width))
        raise ValueError(f"A size of {height} x {width} cannot be cut into patches of {patch_size}; {fitting} can.")
    try:
        statistics, _ = ImageProcessingMixin.get_image_processor_dict(name_or_path, **_of_the_hub(options))
    except OSError:  # a bare CLIP without its processor
        statistics = {}
    image_processor = ViTImageProcessorPil(
        size={"height": height, "width": width},
        image_mean=statistics.get("image_mean") or list(OPENAI_CLIP_MEAN),
        image_std=statistics.get("image_std") or list(OPENAI_CLIP_STD),
    )
    return image_processor, patch_size


def _of_the_hub(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key in _HUB_OPTIONS}
