"""A world of coloured squares and a model that segments colours, so that every protocol's numbers are known by hand."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPSegConfig, CLIPTokenizer, ViTImageProcessorPil

from clipseg_hf.data.rows.rows import make_phrase
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.processing.masks.rle import encode_rle

COLORS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "pink": (255, 0, 255),
}


@dataclass
class ColorFeatures:
    pixels: torch.Tensor  # (B, 3, H, W) in [0, 1]


class ColorProcessor:
    """Names of colours -> their numbers; images stay what they are, visual prompts lose their background, if it is to
    be dimmed at all."""

    def __init__(self):
        self.names = {}  # things -> colours

    def __call__(
        self,
        images=None,
        text=None,
        visual_prompt=None,
        visual_prompt_masks=None,
        visual_prompt_settings=None,
        return_tensors="pt",
    ):
        batch = {}
        if images is not None:
            batch["pixel_values"] = torch.stack([_pixels(image) for image in images])
        if text is not None:
            words = [sentence.removeprefix("a photo of a ").removesuffix(".").split()[0] for sentence in text]
            known = list(COLORS)
            colors = [self.names.get(word, word) for word in words]
            numbers = [known.index(color) if color in known else -1 for color in colors]
            batch["input_ids"] = torch.tensor(numbers)[:, None]
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        if visual_prompt is not None:
            whole = visual_prompt_settings is not None and visual_prompt_settings.background == 1
            prompts = [
                _pixels(image) * (True if whole else torch.as_tensor(mask))
                for image, mask in zip(visual_prompt, visual_prompt_masks, strict=True)
            ]
            batch["conditional_pixel_values"] = torch.stack(prompts)
        return batch


class ColorModel(torch.nn.Module):
    """Probability 0.8 where a pixel has the prompt's colour, 0.1 elsewhere; counts the images that it encodes."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self):
        super().__init__()
        self.clip = SimpleNamespace(logit_scale=torch.tensor(0.0))
        self.config = SimpleNamespace()
        self.images_encoded = 0
        self.modes: list[bool] = []

    def get_vision_features(self, pixel_values):
        self.images_encoded += len(pixel_values)
        return ColorFeatures(pixel_values)

    def get_conditional_embeddings(
        self, input_ids=None, attention_mask=None, text_to_prompt=None, conditional_pixel_values=None
    ):
        if input_ids is not None:
            table = torch.cat([torch.tensor(list(COLORS.values())) / 255, torch.full((1, 3), 0.5)])  # unknown: grey
            texts = table[input_ids[:, 0]]
            return torch.stack([texts[text_to_prompt == n].mean(0) for n in range(int(text_to_prompt.max()) + 1)])
        return conditional_pixel_values.flatten(2).amax(dim=2)  # the only colour that is left

    def forward(self, vision_embeds, conditional_embeddings, prompt_to_image):
        self.modes.append(self.training)
        pixels = vision_embeds.pixels[prompt_to_image]  # (N, 3, H, W)
        same = (pixels - conditional_embeddings[:, :, None, None]).abs().sum(dim=1) < 0.1
        return SimpleNamespace(logits=torch.where(same, 0.8, 0.1).logit())


def _pixels(image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255  # (H, W, 3) -> (3, H, W)


def make_row(image_id: str, squares: dict[str, slice], phrases: dict[str, slice], size=(8, 16)) -> dict:
    """A black picture with vertical bars of colours, and phrases whose masks are bars too."""
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    for color, columns in squares.items():
        pixels[:, columns] = COLORS[color]
    entries = []
    for n, (phrase, columns) in enumerate(phrases.items()):
        mask = np.zeros(size, dtype=bool)
        mask[:, columns] = True
        entries.append(make_phrase(phrase, encode_rle(mask), phrase_id=f"{image_id}__{n}", name=phrase.split()[0]))
    return {
        "image": Image.fromarray(pixels),
        "image_id": image_id,
        "height": size[0],
        "width": size[1],
        "phrases": entries,
    }


def make_color_rows() -> list[dict]:
    """Four pictures of 8 x 16; what each phrase's true IoU is, stands beside it."""
    left, middle, right = slice(0, 4), slice(6, 10), slice(12, 16)
    return [
        make_row("a", {"red": left, "blue": right}, {"red": left, "blue": right}),  # 1, 1
        make_row("b", {"red": slice(0, 8)}, {"red": left}),  # 1/2: the model marks twice too much
        make_row("c", {"blue": middle, "green": right}, {"blue": middle, "green": right}),  # 1, 1
        make_row("d", {"blue": left}, {"blue": slice(0, 16)}),  # 1/4: it marks a quarter
    ]


@pytest.fixture
def color_rows():
    return make_color_rows()


@pytest.fixture
def ignore():
    """(row, columns, numbers of phrases) -> the row, in which these columns do not count for these phrases."""

    def ignore(row: dict, columns: slice, *numbers: int) -> dict:
        pixels = np.zeros((row["height"], row["width"]), dtype=bool)
        pixels[:, columns] = True
        for number in numbers:
            row["phrases"][number]["ignore"] = encode_rle(pixels)
        return row

    return ignore


@pytest.fixture(name="make_row")
def _make_row():
    return make_row


@pytest.fixture
def color_model():
    return ColorModel()


@pytest.fixture
def color_processor():
    return ColorProcessor()


def _letters() -> CLIPTokenizer:
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


@pytest.fixture(scope="session")
def tiny_processor() -> CLIPSegProcessor:
    """32 x 32 pixels, one token per letter."""
    size = {"height": 32, "width": 32}
    return CLIPSegProcessor(ViTImageProcessorPil(size=size), _letters(), patch_size=8)


@pytest.fixture(scope="session")
def tiny_model(tiny_processor) -> CLIPSegForImageSegmentation:
    """A random model of two layers that fits `tiny_processor`."""
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = len(tiny_processor.tokenizer)
    config = CLIPSegConfig(
        text_config=tower | {"vocab_size": words, "eos_token_id": words - 1, "bos_token_id": words - 2},
        vision_config=tower | {"image_size": 32, "patch_size": 8},
        projection_dim=16,
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
        extract_layers=[0, 1],
    )
    return CLIPSegForImageSegmentation(config).eval()
