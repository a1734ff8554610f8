"""Models with weights of a sane scale: tiny ones, and one ViT-B/16 for all tests that need the real shapes."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPSegConfig

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.conversion import load_openai_clip

REFERENCE = Path(__file__).parents[1] / "fixtures" / "reference"
BOS, EOS = 98, 99  # of the tiny vocabulary

TINY_TEXT = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": 0,
}
TINY_VISION = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
}


def load_reference_weights() -> ModuleType:
    """`weights.py` of the reference: name-seeded weights and the inputs behind the reference arrays."""
    spec = importlib.util.spec_from_file_location("reference_weights", REFERENCE / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_config(**fields) -> CLIPSegConfig:
    """A tiny configuration; `vision_config` and `text_config` are merged into the defaults."""
    text = TINY_TEXT | fields.pop("text_config", {})
    vision = TINY_VISION | fields.pop("vision_config", {})
    defaults = {"projection_dim": 24, "extract_layers": [0, 1, 3], "reduce_dim": 16, "decoder_intermediate_size": 64}
    return CLIPSegConfig(text_config=text, vision_config=vision, **(defaults | fields))


def make_clip(**vision_fields) -> CLIPModel:
    """A tiny CLIP with sane weights."""
    clip = CLIPModel(CLIPConfig(text_config=TINY_TEXT, vision_config=TINY_VISION | vision_fields, projection_dim=24))
    return fill_weights(clip.eval())


def make_model(attn_implementation: str = "sdpa", **fields) -> CLIPSegForImageSegmentation:
    """A tiny model with sane weights, in evaluation mode."""
    model = CLIPSegForImageSegmentation._from_config(make_config(**fields), attn_implementation=attn_implementation)
    return fill_weights(model.eval())


def fill_weights(model: torch.nn.Module) -> torch.nn.Module:
    """Fill a model by the reference's recipe, which must be told what a norm is called here."""
    state_dict = model.state_dict()
    original = {re.sub("layer_?norm|layrnorm", "ln_", name): name for name in state_dict}
    filled = load_reference_weights().fill({alias: state_dict[name] for alias, name in original.items()})
    model.load_state_dict({name: filled[alias] for alias, name in original.items()})
    return model


def make_tokens(count: int, length: int = 6, seed: int = 0) -> torch.Tensor:
    """Token ids (count, length) of the tiny vocabulary: begin, words, end."""
    words = torch.randint(1, BOS, (count, length - 2), generator=torch.Generator().manual_seed(seed))
    return torch.cat([torch.full((count, 1), BOS), words, torch.full((count, 1), EOS)], dim=1)


def make_images(count: int, height: int = 64, width: int = 64, seed: int = 0) -> torch.Tensor:
    """Normalised images (count, 3, height, width)."""
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """What makes tiny things: `tiny.model(reduce_dim=16)`, `tiny.images(2, 64, 96)`, ..."""
    return SimpleNamespace(
        config=make_config, clip=make_clip, model=make_model, tokens=make_tokens, images=make_images, fill=fill_weights
    )


@pytest.fixture
def model() -> CLIPSegForImageSegmentation:
    return make_model()


@pytest.fixture(scope="session")
def prompts() -> dict[str, torch.Tensor]:
    """Two images and a text for each."""
    return {"pixel_values": make_images(2), "input_ids": make_tokens(2)}


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    return load_reference_weights()


@pytest.fixture(scope="session")
def original_state_dicts(reference):
    """`original_state_dicts(kind)`: the reference's weights of "clip", "rd64_uni", ... under the original names."""

    def build(kind: str) -> dict[str, torch.Tensor]:
        keys = json.loads((REFERENCE / "checkpoint_keys.json").read_text())
        return reference.fill({name: torch.empty(shape) for name, shape in keys[kind]})

    return build


@pytest.fixture(scope="session")
def reference_arrays():
    """`reference_arrays(name)`: what the original implementation computed, as float32 tensors (masks as bool)."""

    def load(name: str) -> dict[str, torch.Tensor]:
        arrays = dict(np.load(REFERENCE / f"{name}.npz"))
        if "masks" in arrays:
            arrays["masks"] = np.unpackbits(arrays["masks"], axis=-1).astype(bool)
        return {key: torch.from_numpy(array) for key, array in arrays.items()}

    return load


@pytest.fixture(scope="session")
def vit_b16(original_state_dicts) -> CLIPModel:
    """The reference's ViT-B/16 CLIP (600 MB), from OpenAI's names; shared, so leave its weights alone."""
    clip = CLIPModel(CLIPConfig(vision_config={"patch_size": 16}))
    load_openai_clip(clip, original_state_dicts("clip"))
    return clip.eval()
