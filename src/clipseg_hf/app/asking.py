"""A visitor's request, answered: no layout, no server."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from clipseg_hf.app.limits import Limits, Source, read_file, read_lines, read_mask, read_picture
from clipseg_hf.app.words import PageError
from clipseg_hf.inference import MaskOperations, Prompt, Segmentation, Segmenter, parse_prompt
from clipseg_hf.inference.prompts import Combination
from clipseg_hf.inference.question import EncodedImage
from clipseg_hf.processing.masks.guided_filter import GuidedFilter


@dataclass(frozen=True)
class Asked:
    """What the page holds when it is asked.

    Attributes:
        picture: path of the uploaded file, or its bytes.
        text: prompts, one a line, each as `parse_prompt` reads it.
        example: a picture that shows the thing, if there is one.
        brushed: what is brushed over it, on transparent or white; None, or nothing: all of it shows the thing.
        mix: the example's share where it goes with the first line; None: the checkpoint's own.
        threshold: 0 is the checkpoint's own.
        operations: done to the masks.
        guided_filter: let their borders follow the picture's edges first.
        example_name: what to call the example.
    """

    picture: Source | None
    text: str = ""
    example: Source | None = None
    brushed: Source | None = None
    mix: float | None = None
    threshold: float = 0
    operations: MaskOperations = field(default_factory=MaskOperations)
    guided_filter: bool = False
    example_name: str = "example"


class Desk:
    """Answers requests by a model; threads may share it.

    Pictures are kept, encoded, under a hash of their file, the latest ones: who changes words or sliders, or comes back
    after a reload, does not wait for the image encoder again.

    Args:
        segmenter: the model at work.
        limits: of a request, and of what is kept.
    """

    def __init__(self, segmenter: Segmenter, limits: Limits | None = None):
        self.segmenter, self.limits = segmenter, limits or Limits()
        self._kept: OrderedDict[bytes, tuple[EncodedImage, tuple[int, int]]] = OrderedDict()
        self._keeping = threading.Lock()

    def answer(self, asked: Asked) -> Segmentation:
        """The masks.

        Raises:
            PageError: something that the visitor can mend.
        """
        if not asked.picture:
            raise PageError("nothing_shown")
        image, _ = self._encoded(asked.picture)
        prompts = self._prompts(asked)
        try:
            question = self.segmenter.ask(prompts)
        except ValueError as error:
            raise PageError("unreadable_prompt", reason=error) from error
        if asked.guided_filter:
            image = replace(image, guided_filter=image.guided_filter or GuidedFilter())
        return image.answer(question, asked.threshold or None).clean(asked.operations)

    def reduced_from(self, picture: Source) -> tuple[int, int] | None:
        """(width, height) of a picture that was larger than what is looked at; None: it was not."""
        image, size = self._encoded(picture)
        return None if image.image.size == size else size

    def _encoded(self, picture: Source) -> tuple[EncodedImage, tuple[int, int]]:
        """A picture that the model has seen, and its (width, height) as it came."""
        content = read_file(picture, self.limits)
        key = hashlib.blake2b(content).digest()
        with self._keeping:  # one at a time: two would only share the processor
            if key not in self._kept:
                image, size = read_picture(content, self.limits)
                self._kept[key] = self.segmenter.encode(image), size
            self._kept.move_to_end(key)
            while len(self._kept) > self.limits.pictures:
                self._kept.popitem(last=False)
            return self._kept[key]

    def _prompts(self, asked: Asked) -> list[Prompt | Combination]:
        """The example goes with the first text; it stands alone where that combines several, which have no vector."""
        try:
            prompts = [parse_prompt(line) for line in read_lines(asked.text, self.limits)]
        except PageError:
            raise
        except ValueError as error:
            raise PageError("unreadable_prompt", reason=error) from error
        if asked.example:
            image, _ = read_picture(asked.example, self.limits)
            mask = read_mask(asked.brushed, image.size, self.limits)
            if not prompts or isinstance(prompts[0], Combination):
                return [*prompts, Prompt(image=image, mask=mask, label=asked.example_name)]
            label = f"{prompts[0].label} + {asked.example_name}"
            prompts[0] = Prompt(prompts[0].text, image, mask, weight=asked.mix, label=label)
        if not prompts:
            raise PageError("nothing_asked")
        return prompts
