"""CLIPSeg as a model of FiftyOne: each prompt's things as detections with masks, or one map of all prompts.

$ pip install clipseg-hf fiftyone

dataset = fiftyone.Dataset.from_images_dir("photos")
dataset.apply_model(CLIPSegModel(["a dog", "a cat | a fox"]), label_field="clipseg", batch_size=8)
fiftyone.launch_app(dataset)
"""

from collections.abc import Sequence

import fiftyone as fo
import fiftyone.core.models as fom
import numpy as np

from clipseg_hf.inference import Combination, Prompt, Segmentation, Segmenter
from clipseg_hf.inference.labelling import labelled
from clipseg_hf.labels import LabelledObject
from clipseg_hf.processing.masks.operations import MaskOperations
from clipseg_hf.processing.masks.outlines import mask_to_box

HAIR = 1e-6  # of a pixel: FiftyOne cuts off what is behind the point, and 28.999... would be 28


class CLIPSegModel(fom.Model):
    """Asks pictures for prompts.

    Args:
        prompts: what `Segmenter` takes.
        model: folder, name on the Hub, or "emoji-tiny".
        semantic: give one `fiftyone.Segmentation`, whose pixels are 0 for background and n for the n-th prompt
            (`mask_targets`), in place of `fiftyone.Detections`, one for each connected part of what is present.
        threshold: probability above which a pixel belongs to a mask; None: the checkpoint's own.
        min_area: parts of a mask below this share of the picture are left out.
        options: for `Segmenter.from_pretrained`, such as `device` or `tiling`.
    """

    def __init__(
        self,
        prompts: Sequence[str | Prompt | Combination],
        model: str = "CIDAS/clipseg-rd64-refined",
        *,
        semantic: bool = False,
        threshold: float | None = None,
        min_area: float = 0.0005,
        **options,
    ):
        self.segmenter = Segmenter.from_pretrained(model, **options)
        self.question = self.segmenter.ask(prompts)
        self.semantic, self.threshold = semantic, threshold
        self.operations = MaskOperations(min_area=min_area)
        self._preprocess = False

    @property
    def mask_targets(self) -> dict[int, str]:
        """For `dataset.mask_targets[label_field]` of semantic predictions."""
        return {number + 1: str(prompt.label) for number, prompt in enumerate(self.question.prompts)}

    media_type = "image"
    ragged_batches = False  # pictures of any sizes are batched
    transforms = None

    @property
    def preprocess(self) -> bool:
        return self._preprocess

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        self._preprocess = value

    def predict(self, arg: np.ndarray) -> fo.Label:
        """(h, w, 3) uint8 -> what was found in it."""
        return self.predict_all([arg])[0]

    def predict_all(self, args: Sequence[np.ndarray]) -> list[fo.Label]:
        """As `predict`, for several pictures, in batches of the segmenter's `batch_size`."""
        results = self.segmenter.stream(list(args), self.question, self.threshold)
        return [self._label(result.clean(self.operations)) for result in results]

    def _label(self, result: Segmentation) -> fo.Label:
        if self.semantic:
            return fo.Segmentation(mask=result.exclusive().label_map.astype(np.uint8))
        things = labelled(result, "picture").objects
        return fo.Detections(detections=[_detection(thing) for thing in things])


def _detection(thing: LabelledObject) -> fo.Detection:
    left, top, width, height = mask_to_box(thing.mask)
    rows, columns = thing.mask.shape
    return fo.Detection(
        label=thing.label,
        bounding_box=[(left + HAIR) / columns, (top + HAIR) / rows, width / columns, height / rows],
        mask=thing.mask[top : top + height, left : left + width],
        confidence=thing.score,
    )
