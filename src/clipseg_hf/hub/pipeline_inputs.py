"""What the pipeline is asked: images as transformers' pipelines take them, and the prompts that a checkpoint names."""

import base64
import os
import re
from typing import Any

_SMALLEST_IMAGE = 24  # bytes; what decodes to less is a short file name, such as "cats"


def unwrap_base64(image: Any) -> Any:
    """A string that is neither a file nor a URL but base64 -> its bytes; anything else as it is."""
    if not isinstance(image, str) or image.startswith(("http://", "https://", "data:")) or os.path.isfile(image):
        return image
    try:
        data = base64.b64decode("".join(image.split()), validate=True)
    except ValueError:
        return image  # a path that leads nowhere, which is told by whoever opens it
    return data if len(data) >= _SMALLEST_IMAGE else image


def default_prompts(config: Any) -> list[str]:
    """What a checkpoint is for: the names in its `id2label`, by their numbers.

    Raises:
        ValueError: it has none but transformers' placeholders.
    """
    labels = [str(label) for _, label in sorted((config.id2label or {}).items(), key=lambda item: int(item[0]))]
    if all(re.fullmatch(r"LABEL_\d+", label) for label in labels):
        raise ValueError(
            "There is nothing to look for: no prompts were given, and the checkpoint's id2label names nothing (it says "
            f"{', '.join(labels) or 'nothing'}). Give prompts=['a cat', ...], or let the checkpoint have its own: "
            "model.config.id2label = {0: 'a cat', ...}."
        )
    return labels
