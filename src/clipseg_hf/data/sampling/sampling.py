"""From rows to prompted samples: PhraseCut+ as it is drawn in training (paper, section 4).

Everything random comes from a generator fixed by seed, epoch, row and visit. So a sample depends neither on the
process or worker that makes it, nor on what was made before.
"""

import hashlib
from collections.abc import Callable
from math import ceil

import numpy as np
import torch

from clipseg_hf._counted import counted
from clipseg_hf.data.rows.row_images import decode_image, undecoded
from clipseg_hf.data.rows.row_phrases import IGNORED_LABEL, Truth, truth_of
from clipseg_hf.data.sampling.augment import flip, jitter_colors
from clipseg_hf.data.sampling.crops import draw_window, resize_image, resize_mask
from clipseg_hf.data.sampling.phrase_index import PhraseIndex
from clipseg_hf.data.sampling.samples import PromptedSample, SampleError, Support
from clipseg_hf.data.sampling.sampling_settings import MIXES, SamplingSettings
from clipseg_hf.data.vocabulary.phrases import swap_sides


def generator_for(seed: int, epoch: int, row: int, visit: int = 0) -> torch.Generator:
    """The random generator of one sample: the same in every process and on every machine."""
    digest = hashlib.blake2b(f"{seed} {epoch} {row} {visit}".encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))  # PyTorch reads 32 bits of a seed


class PromptSampler:
    """Draws prompted samples of rows.

    An epoch asks each phrase of each row once. A row of m phrases is visited ceil(m / P) times; in an order drawn for
    the epoch its phrases are spread evenly over the visits (m = 5, P = 4: 3 and 2). With P = 1 this is the original's
    walk over all pairs of image and phrase, with a larger P the same pairs for fewer images to decode and encode.
    Samples are not filled up to P, which would change the share of negatives, or ask some phrases more often. A row
    without phrases has no visits.

    Entries of a row that share a phrase are asked as one, once in an epoch, for all that they mark (`row_phrases`).
    So a phrase with no pixel left in the crop is a true negative, and none has to be dropped.

    Args:
        rows: see `rows.py`.
        settings: what is drawn, and how.
        index: the index of these rows, where it is there already.
        seed: of everything random.
        load_supports: False leaves the image and mask of supports None, for those who keep the vectors of visual
            prompts and need only know which; a function of (row, phrase_number) says it of each.

    Attributes:
        query_rows: where the images of samples are read, if not in `rows`, as those of supports are.

    Raises:
        ValueError: the index is one of other rows.
        TypeError: the rows are a stream.
    """

    def __init__(
        self,
        rows,
        settings: SamplingSettings | None = None,
        index: PhraseIndex | None = None,
        seed: int = 0,
        load_supports: bool | Callable[[int, int], bool] = True,
    ):
        if not hasattr(rows, "__len__"):
            raise TypeError(
                f"rows are a sequence, whose supports and negatives can be drawn at random, got {type(rows).__name__}: "
                "load the data set without streaming."
            )
        self.rows = self.query_rows = undecoded(rows)
        self.settings = settings or SamplingSettings()
        self.index = PhraseIndex(rows) if index is None else index
        self.seed = seed
        self.load_supports = load_supports
        if len(self.index.counts) != len(rows):
            raise ValueError(
                f"The phrase index is over {counted(len(self.index.counts), 'row')}, but {len(rows)} are given: "
                "was it made before a filter? Make it anew with PhraseIndex(rows)."
            )

    def visits(self, row: int) -> int:
        """How many samples an epoch takes of a row."""
        return ceil(int(self.index.different[row]) / self.settings.phrases_per_image)

    def sample(self, row: int, epoch: int = 0, visit: int = 0) -> PromptedSample:
        """Draw the sample of one visit to a row.

        Raises:
            SampleError: the row's image, or that of a support, cannot be read or does not fit its masks.
            IndexError: an epoch has no such visit to the row.
        """
        settings = self.settings
        numbers = self._deal(row, epoch, visit)
        generator = generator_for(self.seed, epoch, row, visit)
        item = self.query_rows[row]
        image, truths, _ = self._look(row, item, [*([number] for number in numbers), []])
        if settings.crop:  # by the phrases of this visit: the crop must not tell which of them is a negative
            masks = [truth.mask for truth in truths[:-1]]
            window = draw_window(masks, settings.min_foreground, generator, settings.size)
            image, truths = window.of(image), [_each(truth, window.of) for truth in truths]
        image = resize_image(image, settings.size)
        *labels, absent = (_label(truth, settings.size) for truth in truths)
        masks = np.stack(labels)

        phrases = [item["phrases"][number]["phrase"] for number in numbers]
        for k in range(len(phrases)):
            if _uniform(generator) < settings.negative_probability:
                other = self.index.draw_negative(row, generator, without=phrases)
                if other is not None:
                    phrases[k], masks[k] = other, absent
        prompts = [self._draw_support(row, phrase, generator) for phrase in phrases]

        if _uniform(generator) < settings.hflip:
            image, masks = flip(image, axis=1), flip(masks, axis=2)
            phrases = [swap_sides(phrase) for phrase in phrases]
        if settings.color_jitter:
            image = jitter_colors(image, settings.color_jitter, generator)
        prefixes = torch.randint(len(settings.prefixes), (len(phrases),), generator=generator).tolist()
        return PromptedSample(
            image=image,
            texts=[settings.prefixes[i].replace("{}", phrase) for i, phrase in zip(prefixes, phrases, strict=True)],
            phrases=phrases,
            masks=masks,
            negative=~(masks == 1).any(axis=(1, 2)),
            supports=[support for support, _ in prompts],
            image_prompt_weight=np.array([weight for _, weight in prompts], dtype=np.float32),
            row=row,
            image_id=item["image_id"],
            phrase_ids=[item["phrases"][number]["phrase_id"] for number in numbers],
        )

    def picture(self, row: int) -> np.ndarray:
        """A row's whole picture at the samples' size, (H, W, 3) uint8: the image of its samples where nothing is
        cropped, mirrored or recoloured.

        Raises:
            SampleError: it cannot be read, or is of another size than the row says.
        """
        item = self.rows[row]
        image, _, whole = self._look(row, item, [])
        if whole != (item["height"], item["width"]):
            cause = (
                f"the image is {_by(whole)} pixels (height x width), its row says {item['height']} x {item['width']}."
            )
            raise SampleError.of(row, item["image_id"], cause)
        return resize_image(image, self.settings.size)

    def support(self, row: int, phrase_number: int) -> Support:
        """Load a phrase's image as a support, the same each time.

        Raises:
            SampleError: as in `sample`; or the mask is empty.
        """
        item = self.rows[row]
        image, (truth,), _ = self._look(row, item, [[phrase_number]])
        if not truth.mask.any():
            cause = (
                f"the mask of {item['phrases'][phrase_number]['phrase']!r} is empty, so it is an example of nothing."
            )
            raise SampleError.of(row, item["image_id"], cause)
        return Support(image, truth.mask, row, phrase_number)

    def _deal(self, row: int, epoch: int, visit: int) -> list[int]:
        """The numbers of the phrases that a visit asks."""
        numbers, visits = self.index.numbers(row), self.visits(row)
        if not 0 <= visit < visits:
            raise IndexError(
                f"Row {row} has {counted(len(numbers), 'phrase')}, so that with phrases_per_image="
                f"{self.settings.phrases_per_image} an epoch has {counted(visits, 'visit')} to it; there is no visit "
                f"{visit}."
            )
        order = torch.randperm(len(numbers), generator=generator_for(self.seed, epoch, row))
        return [numbers[place] for place in order[visit::visits].tolist()]

    def _draw_support(self, row: int, phrase: str, generator: torch.Generator) -> tuple[Support | None, float]:
        """A support for a phrase asked of a row, and its weight; (None, 0) for a prompt by text alone."""
        low, high = MIXES[self.settings.mix]
        weight = low + (high - low) * _uniform(generator)
        wanted = _uniform(generator) < self.settings.support_probability
        place = self.index.draw_support(phrase, row, generator) if wanted and weight > 0 else None
        if place is None:
            return None, 0.0
        is_loaded = self.load_supports(*place) if callable(self.load_supports) else self.load_supports
        return (self.support(*place) if is_loaded else Support(None, None, *place)), weight

    def _look(
        self, row: int, item: dict, questions: list[list[int]]
    ) -> tuple[np.ndarray, list[Truth], tuple[int, int]]:
        """Decode an image (h, w, 3) and what is true of it (h, w) for some of its phrases, or for none of them, at a
        size not much larger than needed; and the (height, width) of the whole image."""
        try:
            image, whole = decode_image(item["image"], at_least=self.settings.size)
            truths = [truth_of(item["phrases"], numbers) for numbers in questions]
        except (OSError, ValueError, TypeError) as error:
            raise SampleError.of(row, item["image_id"], f"{type(error).__name__}: {error}") from error
        for numbers, truth in zip(questions, truths, strict=True):
            for name, part in truth._asdict().items():
                if part is not None and part.shape != whole:
                    phrase = item["phrases"][numbers[0] if numbers else 0]["phrase"]
                    sizes = f"{_by(part.shape)} pixels (height x width), the image {_by(whole)}"
                    raise SampleError.of(row, item["image_id"], f"the {name} of {phrase!r} is {sizes}.")
        return image, [_each(truth, lambda part: resize_mask(part, image.shape[:2])) for truth in truths], whole


class PromptedDataset(torch.utils.data.Dataset):
    """A sampler's samples as a PyTorch data set: one item for each visit of an epoch.

    Args:
        sampler: what draws the samples.
        strict: raise the `SampleError` of a broken row. Else it is the item, for `PromptCollator` to leave out and
            report.
    """

    def __init__(self, sampler: PromptSampler, strict: bool = True):
        self.sampler = sampler
        self.strict = strict
        counts, limit = sampler.index.different, sampler.settings.phrases_per_image
        self._end = np.cumsum(-(-counts // limit))  # row -> one past its last item
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    @property
    def epoch(self) -> int:
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose samples are drawn from now on (call it before an iterator is made)."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return int(self._end[-1]) if len(self._end) else 0

    def locate(self, item: int) -> tuple[int, int]:
        """(row, visit) of an item."""
        if not 0 <= item < len(self):
            raise IndexError(f"The data set has {counted(len(self), 'item')}, there is no item {item}.")
        row = int(np.searchsorted(self._end, item, side="right"))
        return row, item - int(self._end[row - 1] if row else 0)

    def __getitem__(self, item: int) -> PromptedSample | SampleError:
        row, visit = self.locate(item)
        try:
            return self.sampler.sample(row, self.epoch, visit)
        except SampleError as error:
            if self.strict:
                raise
            return error


def _each(truth: Truth, change: Callable[[np.ndarray], np.ndarray]) -> Truth:
    return Truth(*(None if part is None else change(part) for part in truth))


def _label(truth: Truth, size: tuple[int, int]) -> np.ndarray:
    """(*size) uint8: 1 in the mask, `IGNORED_LABEL` where a pixel does not count, else 0."""
    mask, ignored = _each(truth, lambda part: resize_mask(part, size))
    label = np.zeros(size, np.uint8) if mask is None else mask.astype(np.uint8)
    if ignored is not None:
        label[ignored & (label == 0)] = IGNORED_LABEL
    return label


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _uniform(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator).item()
