"""Where caches lie, and all that what is in them depends on."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from clipseg_hf.data.rows.fingerprints import digest, digest_file
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.configuration import prompt_tokens

FORMAT = 2
_SAID_OF_LOADING = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


@dataclass(frozen=True)
class CacheSettings:
    """Where caches lie, what all that is in them depends on, and how they are filled.

    Pictures are not among it: each array knows the one that it was made of (see `KeptArrays.refresh`).

    Attributes:
        folder: for the files.
        data, clip: fingerprints of the rows and of CLIP's weights.
        image_processor: all settings that pixels are made by.
        visual_prompt: those that visual prompts are made by.
        tokenizer: a fingerprint of it.
        precision: of the encoding, as in `mixed_precision`.
        device: what encodes, by name.
        prompts_ahead: prompts that the run will draw, all processes together.
        workers: processes that read images.
        quiet: no progress bar.
    """

    folder: Path
    data: str
    clip: str
    image_processor: dict = field(default_factory=dict)
    visual_prompt: dict = field(default_factory=dict)
    tokenizer: str = ""
    precision: str = "no"
    device: str = "cpu"
    prompts_ahead: int = 0
    workers: int = 0
    quiet: bool = False

    def key(self, model: CLIPSegForImageSegmentation, *names: str, **facts) -> dict:
        """What tells a cache from others, for JSON.

        Args:
            model: whose CLIP encodes.
            names: of the attributes that matter beside those of the encoding itself.
            facts: what else matters.
        """
        names = ("clip", "precision", "device", *names)
        return {"format": FORMAT, "towers": _towers(model), **{name: getattr(self, name) for name in names}, **facts}

    def prompt_key(self, model: CLIPSegForImageSegmentation, *names: str, **facts) -> dict:
        """`key`, of prompts, which may have tokens beside their vector."""
        text, image = prompt_tokens(model.config)
        tokens = {"prompt_tokens": {"text": text, "image": image}} if text else {}
        return self.key(model, *names, **facts, **tokens)


def fingerprint_tokenizer(tokenizer) -> str:
    """16 digits that change with anything that a tokenizer saves, which is all that its tokens depend on."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return digest(*(f"{path.name} {digest_file(path)}" for path in sorted(Path(folder).iterdir())))


def _towers(model: CLIPSegForImageSegmentation) -> dict:
    """What CLIP computes with its weights: heads, activations and the like, which no weight shows."""
    towers = {"attention": model.config._attn_implementation}
    for name in ("text_config", "vision_config"):
        settings = getattr(model.config, name).to_dict()
        towers[name] = {key: value for key, value in settings.items() if key not in _SAID_OF_LOADING}
    return towers
