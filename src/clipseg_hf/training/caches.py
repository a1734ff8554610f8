"""What never changes while CLIP is frozen: the vectors of texts and example images, the activations of whole images.

Everything is encoded in blocks of fixed membership, whoever asks first. So what is kept does not depend on when it was
made, and a run that was cut off finds the very numbers that it would have made.
"""

import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from clipseg_hf.data.collate import BatchInfo, PromptCollator
from clipseg_hf.data.samples import SampleError
from clipseg_hf.data.sampling import PromptSampler
from clipseg_hf.modeling import CLIPSegForImageSegmentation, CLIPSegVisionFeatures
from clipseg_hf.modeling.conditioning import mix_prompts
from clipseg_hf.training.kept_arrays import BROKEN, MISSING, THERE, KeptArrays

logger = logging.getLogger(__name__)

PHRASES_PER_BLOCK, ROWS_PER_BLOCK = 16, 8


@dataclasses.dataclass(frozen=True)
class CacheSettings:
    """Where caches lie and how they are filled.

    Attributes:
        folder: for the files.
        data, clip: fingerprints of the rows and of CLIP's weights.
        look: how the processor makes pixels: size, normalisation, visual prompts.
        precision: of the encoding, as in `mixed_precision`.
        workers: processes that read images.
        rank, world: this process takes each `world`-th block.
        quiet: no progress bar.
    """

    folder: Path
    data: str
    clip: str
    look: dict = dataclasses.field(default_factory=dict)
    precision: str = "no"
    workers: int = 0
    rank: int = 0
    world: int = 1
    quiet: bool = False

    def key(self, **facts) -> dict:
        kept = {name: getattr(self, name) for name in ("data", "clip", "look", "precision")}
        return {"format": 1, **kept, **facts}


class PromptCache:
    """CLIP's vectors of all prompts: texts are encoded as they come, example images by `fill`.

    Args:
        model: gives the vectors.
        sampler: what draws the prompts; its phrases and prefixes are the texts, its rows the examples.
        collator: makes tokens and visual prompts.
        settings: see there.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        sampler: PromptSampler,
        collator: PromptCollator,
        settings: CacheSettings,
    ):
        self.model, self.sampler, self.collator, self.settings = model, sampler, collator, settings
        self.prefixes = sampler.settings.prefixes
        self.phrases = {phrase: number for number, phrase in enumerate(sampler.index.phrases)}
        width = model.config.projection_dim
        self.texts = KeptArrays(
            settings.folder,
            "texts",
            settings.key(prefixes=list(self.prefixes)),
            len(self.phrases),
            (len(self.prefixes), width),
        )
        counts = sampler.index.counts
        self.first = np.concatenate(([0], np.cumsum(counts)))  # row -> number of its first example
        self.examples = KeptArrays(
            settings.folder,
            "examples",
            settings.key(read_at_least=list(sampler.settings.size)),
            int(self.first[-1]),
            (width,),
        )

    @torch.no_grad()
    def fill(self) -> None:
        """Encode everything that can become an example."""
        wanted = self._possible_examples()
        todo = [block for block in _blocks(len(self.sampler.rows), self.settings) if self._lacks(block, wanted)]
        dataset = _Examples(todo, wanted, self.first, self.sampler, self.collator)
        for numbers, pixels, broken in _loaded(dataset, "examples", self.settings):
            if len(numbers):
                vectors = self.model.clip.get_image_features(
                    pixels.to(self.model.device), interpolate_pos_encoding=True
                ).pooler_output
                self.examples.put(numbers, vectors.float().cpu().numpy())
            for number, error in broken:
                self.examples.flags[number] = BROKEN
                logger.warning("An example image is left out: %s", error)

    def __call__(self, info: BatchInfo, weight: torch.Tensor, device) -> torch.Tensor:
        """The prompts of a batch, (N, D): x = a s + (1 - a) t. An example that could not be read leaves its text."""
        texts = self.text_vectors(info.texts, info.phrases, device)
        owners, numbers = [], []
        for owner, place in enumerate(info.supports):
            number = None if place is None else int(self.first[place[0]]) + place[1]
            if number is not None and self.examples.flags[number] == THERE:
                owners.append(owner)
                numbers.append(number)
            elif number is not None and self.examples.flags[number] == MISSING:
                raise ValueError(f"Example {place} was not encoded: call fill() first.")
        if not owners:
            return texts
        examples = torch.from_numpy(self.examples.arrays[numbers].astype(np.float32)).to(device)
        return mix_prompts(texts, examples, None, torch.tensor(owners, device=device), weight, len(texts))

    def text_vectors(self, texts: list[str], phrases: list[str], device) -> torch.Tensor:
        """(N, D), float32; encodes the blocks of phrases that were never asked for."""
        places = [self._place(text, phrase) for text, phrase in zip(texts, phrases, strict=True)]
        missing = {p[0] // PHRASES_PER_BLOCK for p in places if p is not None and self.texts.flags[p[0]] != THERE}
        for block in sorted(missing):
            self._fill_texts(block)
        vectors = np.empty((len(texts), self.model.config.projection_dim), np.float32)
        for n, place in enumerate(places):
            if place is not None:
                vectors[n] = self.texts.arrays[place]
        others = [n for n, place in enumerate(places) if place is None]  # a flip swapped left and right, say
        if others:
            vectors[others] = self._encode_texts([texts[n] for n in others]).half().float().cpu().numpy()
        return torch.from_numpy(vectors).to(device)

    def _place(self, text: str, phrase: str) -> tuple[int, int] | None:
        """(phrase, prefix) where a text is kept."""
        number = self.phrases.get(phrase)
        if number is None:
            return None
        return number, [prefix.replace("{}", phrase) for prefix in self.prefixes].index(text)

    def _fill_texts(self, block: int) -> None:
        first = block * PHRASES_PER_BLOCK
        phrases = self.sampler.index.phrases[first : first + PHRASES_PER_BLOCK]
        texts = [prefix.replace("{}", phrase) for phrase in phrases for prefix in self.prefixes]
        vectors = self._encode_texts(texts).float().cpu().numpy()
        shape = (len(phrases), len(self.prefixes), -1)
        self.texts.put(slice(first, first + len(phrases)), vectors.reshape(shape))

    @torch.no_grad()
    def _encode_texts(self, texts: list[str]) -> torch.Tensor:
        tokens = {name: tensor.to(self.model.device) for name, tensor in self.collator.tokenize(texts).items()}
        return self.model.clip.get_text_features(**tokens).pooler_output

    def _possible_examples(self) -> np.ndarray:
        """(number of examples,) bool: all where absent phrases are asked, else those whose phrase two rows have."""
        if self.sampler.settings.negative_probability > 0:
            return np.ones(int(self.first[-1]), bool)  # the example of an absent phrase is always another row's
        shared = np.zeros(int(self.first[-1]), bool)
        for phrase in self.sampler.index:
            places = self.sampler.index[phrase]
            if places[0][0] != places[-1][0]:
                shared[[self.first[row] + number for row, number in places]] = True
        return shared

    def _lacks(self, block: range, wanted: np.ndarray) -> bool:
        numbers = slice(self.first[block.start], self.first[block.stop])
        return bool((wanted[numbers] & (self.examples.flags[numbers] == MISSING)).any())


class FeatureCache:
    """The activations of all images, where none is cropped, flipped or recoloured at random.

    Args:
        model, sampler, collator, settings: as for `PromptCache`.
    """

    def __init__(
        self,
        model: CLIPSegForImageSegmentation,
        sampler: PromptSampler,
        collator: PromptCollator,
        settings: CacheSettings,
    ):
        self.model, self.sampler, self.collator, self.settings = model, sampler, collator, settings
        height, width = sampler.settings.size
        vision, layers = model.config.vision_config, list(model.config.extract_layers)
        self.grid = (height // vision.patch_size, width // vision.patch_size)
        shape = (len(layers), 1 + self.grid[0] * self.grid[1], vision.hidden_size)
        key = settings.key(size=[height, width], layers=layers)
        self.kept = KeptArrays(settings.folder, "features", key, len(sampler.rows), shape)

    @torch.no_grad()
    def fill(self) -> None:
        """Encode all images that are asked about."""
        lacking = (self.kept.flags == MISSING) & (self.sampler.index.counts > 0)
        blocks = _blocks(len(self.sampler.rows), self.settings)
        todo = [block for block in blocks if lacking[block.start : block.stop].any()]
        dataset = _Images(todo, self.sampler, self.collator)
        for rows, pixels, broken in _loaded(dataset, "images", self.settings):
            if len(rows):
                features = self.model.get_vision_features(pixels.to(self.model.device)).vision_embeds
                self.kept.put(rows, torch.stack(features, dim=1).float().cpu().numpy())
            for row, _ in broken:
                self.kept.flags[row] = BROKEN  # the training will meet it, and say so

    def __call__(self, rows: list[int], device) -> CLIPSegVisionFeatures:
        """The features of some rows, float32.

        Raises:
            ValueError: a row's image could not be read when the features were made.
        """
        lost = [row for row in rows if self.kept.flags[row] != THERE]
        if lost:
            raise ValueError(f"There are no features of rows {lost}; delete {self.kept.folder} to make them anew.")
        activations = torch.from_numpy(self.kept.arrays[rows]).to(device).float()  # (B, layers, tokens, width)
        return CLIPSegVisionFeatures(vision_embeds=tuple(activations.unbind(1)), grid=self.grid)

    def blank_rows(self):
        """The rows with black pictures in the place of those that are kept, which need not be read any more. Broken
        ones stay, to be noticed."""
        return _BlankRows(self.sampler.rows, self.kept.flags)


class _BlankRows:
    def __init__(self, rows, flags: np.ndarray):
        self.rows, self.flags = rows, flags

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> dict:
        item = self.rows[row]
        if self.flags[row] != THERE:
            return item
        return {**item, "image": Image.new("RGB", (item["width"], item["height"]))}


class _Examples(Dataset):
    """Blocks of rows -> numbers, visual prompts and errors of the examples in them."""

    def __init__(self, blocks: list[range], wanted: np.ndarray, first: np.ndarray, sampler, collator):
        self.blocks, self.wanted, self.first = blocks, wanted, first
        self.sampler, self.collator = sampler, collator

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        numbers, prompts, broken = [], [], []
        for row in self.blocks[number]:
            for example in range(self.first[row], self.first[row + 1]):
                if self.wanted[example]:
                    try:
                        support = self.sampler.support(row, example - int(self.first[row]))
                        prompts.append(self.collator.visual_prompts([support]))
                        numbers.append(example)
                    except (SampleError, ValueError) as error:  # unreadable; or a mask without a pixel
                        broken.append((example, f"row {row}: {error}"))
        return numbers, torch.cat(prompts) if prompts else None, broken


class _Images(Dataset):
    """Blocks of rows -> rows, pixels and errors."""

    def __init__(self, blocks: list[range], sampler: PromptSampler, collator: PromptCollator):
        self.blocks, self.sampler, self.collator = blocks, sampler, collator

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int):
        samples, broken = [], []
        for row in self.blocks[number]:
            if self.sampler.visits(row):
                try:
                    samples.append(self.sampler.sample(row))
                except SampleError as error:
                    broken.append((row, str(error)))
        pixels = self.collator(samples)["pixel_values"] if samples else None
        return [sample.row for sample in samples], pixels, broken


def _blocks(rows: int, settings: CacheSettings) -> list[range]:
    """This process's share of the blocks of rows."""
    starts = range(0, rows, ROWS_PER_BLOCK)[settings.rank :: settings.world]
    return [range(start, min(start + ROWS_PER_BLOCK, rows)) for start in starts]


def _loaded(dataset: Dataset, what: str, settings: CacheSettings) -> Iterator:
    if not len(dataset):
        return
    loader = DataLoader(
        dataset, batch_size=None, num_workers=settings.workers, generator=torch.Generator().manual_seed(0)
    )
    yield from tqdm(loader, desc=f"encoding {what}", unit="block", disable=settings.quiet, dynamic_ncols=True)
