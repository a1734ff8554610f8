"""The base of the model: where its weights come from, and where they go."""

import os
import re
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPSegConfig, PreTrainedModel

from clipseg_hf.modeling.checkpoints.beside import (
    beside_of,
    find_beside,
    load_beside,
    names_beside,
    save_beside,
)
from clipseg_hf.modeling.checkpoints.checkpoint_files import (
    find_file,
    refuse_mixture,
    unreadable_weights_named,
    upload_files,
)
from clipseg_hf.modeling.checkpoints.decoder_only import DECODER_FILE, merge_with_base, save_decoder
from clipseg_hf.modeling.configuration import (
    OPTIONAL_FIELDS,
    check_config,
    clip_config_of,
    clipseg_config_from,
    refiner_channels,
)
from clipseg_hf.modeling.freezing import FrozenClipMixin
from clipseg_hf.modeling.layers.decoder import CLIPSegDecoder
from clipseg_hf.modeling.layers.initialization import initialize_decoder, initialize_decoder_module
from clipseg_hf.modeling.layers.refiner import PixelRefiner
from clipseg_hf.modeling.model_names import portable_name, resolve_name

# Arguments of `from_pretrained` that say where files are, not what to do with them.
_PLACE = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
# And those of `save_pretrained` that say where they go.
_HUB = ("repo_id", "token", "private", "revision", "commit_message", "create_pr")


class CLIPSegPreTrainedModel(FrozenClipMixin, PreTrainedModel):
    """A frozen `clip` and a trainable `decoder`, loaded and saved under the names of transformers' CLIPSeg.

    And what stands beside the decoder, in files of its own that stock does not look for: a `refiner`, if
    `config.refiner` asks for one, and attention to prompts' tokens, if `config.prompt_tokens` says so.
    """

    config: CLIPSegConfig
    decoder: CLIPSegDecoder
    refiner: PixelRefiner | None
    config_class = CLIPSegConfig
    base_model_prefix = "clip"
    main_input_name = "pixel_values"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["CLIPTextEmbeddings", "CLIPVisionEmbeddings", "CLIPEncoderLayer", "DecoderLayer"]  # noqa: RUF012

    def __init__(self, config: CLIPSegConfig):
        check_config(config)
        super().__init__(config)
        self.clip = CLIPModel(clip_config_of(config))
        self.decoder = CLIPSegDecoder(config)
        channels = refiner_channels(config)
        self.refiner = None if channels is None else PixelRefiner(config.reduce_dim, channels)
        self.post_init()
        # transformers' own part of a checkpoint has nothing of what stands beside the decoder
        prefixes = [f"^{re.escape(part.prefix)}" for part in beside_of(config)]
        self._keys_to_ignore_on_load_missing = {*(self._keys_to_ignore_on_load_missing or ()), *prefixes}
        self._keys_to_ignore_on_save = {*(self._keys_to_ignore_on_save or ()), *names_beside(self)}
        self.freeze_clip()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        initialize_decoder_module(module)  # CLIP initialises itself

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike | None,
        *args: Any,
        config: CLIPSegConfig | str | os.PathLike | None = None,
        base_model: str | os.PathLike | CLIPModel | None = None,
        **kwargs: Any,
    ) -> Any:
        """Load a checkpoint of transformers' CLIPSeg, a whole one of ours, or a decoder-only one.

        Takes what transformers' `from_pretrained` takes, `decoder_dropout`, `loss_type`, `refiner`,
        `conditional_layers`, `prompt_tokens` and `image_prompt_weight` included, with one default of its own: a
        checkpoint of float16 is loaded as float32 unless `dtype` says otherwise, because the decoder is fragile in half
        precision.

        `refiner=None` leaves a checkpoint's refiner away; `refiner={}` puts a fresh one, which changes nothing before
        it is trained, on a checkpoint that has none. So do `conditional_layers=[0, 1, 2]` for steps that it adds, and
        `prompt_tokens={"text": 16, "image": 16}`; with `"beside": True` in it, None leaves that away like a refiner.

        Args:
            pretrained_model_name_or_path: folder or Hub name, or "emoji-tiny", the checkpoint inside of this package.
            base_model: for a decoder-only checkpoint, its CLIP from elsewhere than where its config.json says.

        Raises:
            ValueError: for a bare CLIP (see `from_clip`), another kind of model or a training run's folder;
                for a base CLIP that does not fit; for a refiner, or attention to prompts' tokens, that is missing or
                another checkpoint's; for weights that cannot be read.
            OSError: if the checkpoint, or the base CLIP of a decoder-only one, cannot be reached.
        """
        name, beside = pretrained_model_name_or_path, {}
        if name is not None:
            place = {key: kwargs[key] for key in _PLACE if key in kwargs}
            name = name if place.get("subfolder") else resolve_name(name)
            _refuse_export(name)
            if not isinstance(config, CLIPSegConfig):
                config, kwargs = _load_config(config or name, place, kwargs)
            if getattr(config, "dtype", None) == torch.float16 and not kwargs.keys() & {"dtype", "torch_dtype"}:
                kwargs["dtype"] = torch.float32
            decoder_file = None
            if os.path.isdir(name) or base_model is not None or getattr(config, "base_model_name_or_path", None):
                decoder_file = find_file(name, DECODER_FILE, **place)
            beside = find_beside(name, place, config)
            if decoder_file is not None:
                reach = {key: value for key, value in place.items() if key not in ("revision", "subfolder")}
                kwargs["state_dict"] = merge_with_base(decoder_file, config, base_model, cls.from_pretrained, **reach)
                kwargs = {key: value for key, value in kwargs.items() if key not in _PLACE}
                config.name_or_path, name = os.fspath(name), None
            elif base_model is not None:
                raise ValueError(f"base_model is for decoder-only checkpoints, but {name} brings a CLIP of its own")
        with unreadable_weights_named(name or ""):
            loaded = super().from_pretrained(name, *args, config=config, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded  # a tuple with output_loading_info=True
        for part, file in beside.items():
            load_beside(model, part, file)
        model.freeze_clip()
        return loaded

    @classmethod
    def from_clip(
        cls,
        clip: str | os.PathLike | CLIPModel,
        *,
        extract_layers: Sequence[int] = (3, 7, 9),
        reduce_dim: int = 64,
        use_complex_transposed_convolution: bool = False,
        decoder_num_attention_heads: int = 4,
        decoder_intermediate_size: int = 2048,
        decoder_dropout: float = 0.0,
        conditional_layer: int = 0,
        conditional_layers: Sequence[int] | None = None,
        prompt_tokens: dict[str, Any] | None = None,
        loss_type: str = "bce",
        refiner: dict[str, Any] | None = None,
        generator: torch.Generator | None = None,
        **clip_kwargs: Any,
    ) -> Self:
        """A fresh decoder on any CLIP.

        Args:
            clip: name or directory of a `CLIPModel` checkpoint; or the model itself, which is then used (and frozen),
                not copied.
            extract_layers: zero-based layers of the vision tower that the decoder reads (the default is the paper's).
            reduce_dim: D, the decoder's width.
            use_complex_transposed_convolution: the refined readout, for patch size 16.
            conditional_layer: step of the decoder, from 0, at which the prompt modulates the tokens (FiLM).
            conditional_layers: several such steps, that one among them, for example [0, 1, 2]; None for that one. Stock
                cannot run such a decoder.
            prompt_tokens: {"text": 16, "image": 16} for a decoder that attends to so many words of a text and cells of
                an example (a square number) before every block; None for none. Stock cannot run such a decoder, unless
                `"beside": True` in it has training show it some prompts without their tokens.
            refiner: {} for a refiner that looks at the pixels, {"channels": 8} for its width; None for none.
            generator: where the decoder's weights are drawn from; None: PyTorch's global one.
            clip_kwargs: go to `CLIPModel.from_pretrained` (`revision`, `dtype`, `attn_implementation`, ...).

        Returns:
            The model in evaluation mode, as `from_pretrained` gives it.

        Raises:
            ValueError: if the checkpoint is no CLIP, or a setting does not fit it.
        """
        base, revision = None, clip_kwargs.get("revision")
        if not isinstance(clip, CLIPModel):
            base = resolve_name(clip)
            place = {key: clip_kwargs[key] for key in _PLACE if key in clip_kwargs}
            _check_model_type(CLIPConfig.get_config_dict(base, **place)[0], base, expected="clip")
            clip = CLIPModel.from_pretrained(base, **clip_kwargs)
        elif clip_kwargs:
            raise TypeError(f"{sorted(clip_kwargs)} are for loading a CLIP by name, but a CLIPModel was given")
        config = clipseg_config_from(
            clip.config,
            extract_layers=list(extract_layers),
            reduce_dim=reduce_dim,
            use_complex_transposed_convolution=use_complex_transposed_convolution,
            decoder_num_attention_heads=decoder_num_attention_heads,
            decoder_intermediate_size=decoder_intermediate_size,
            decoder_dropout=decoder_dropout,
            conditional_layer=conditional_layer,
            conditional_layers=None if conditional_layers is None else list(conditional_layers),
            prompt_tokens=prompt_tokens,
            loss_type=loss_type,
            refiner=refiner,
            base_model_name_or_path=base,
            base_model_revision=revision,
        )
        config._attn_implementation = clip.config._attn_implementation
        with torch.device("meta"):  # no time for weights that are replaced at once
            model = cls(config)
        model.clip = clip
        model.decoder.to_empty(device=clip.device).to(clip.dtype)
        initialize_decoder(model.decoder, generator)
        if model.refiner is not None:
            model.refiner.to_empty(device=clip.device).to(clip.dtype)
            initialize_decoder(model.refiner, generator)
        model.freeze_clip()
        return model.eval()

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        is_main_process: bool = True,
        *args: Any,
        decoder_only: bool = False,
        base_model: str | None = None,
        base_model_revision: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the model, by default whole, so that transformers' own CLIPSeg loads it too.

        Args:
            decoder_only: write the decoder alone (about 4.5 MB), which names its base CLIP; `from_pretrained` puts both
                together again, bit by bit the same. Takes `push_to_hub` and the Hub's `repo_id`, `token`, `private`,
                `revision`, `commit_message` and `create_pr`.
            base_model, base_model_revision: with `decoder_only`, the base CLIP; None: the checkpoint that this model's
                CLIP came from.
            args, kwargs: as in transformers' `save_pretrained`.

        A refiner goes into a file of its own beside either, `refiner.safetensors`, which stock does not look for. So
        does attention to prompts' tokens that stands beside the decoder, `prompt_tokens.safetensors`.

        Raises:
            ValueError: if the directory holds a checkpoint of the other kind; with `decoder_only`, if the base is not
                known or CLIP was unfrozen.
        """
        if not decoder_only:
            if base_model is not None or base_model_revision is not None:
                raise ValueError("base_model is for decoder_only=True; a whole checkpoint brings its CLIP along")
            refuse_mixture(save_directory, (DECODER_FILE,))
            super().save_pretrained(save_directory, is_main_process, *args, **kwargs)
            if is_main_process:
                files = save_beside(self, save_directory)
                if files and kwargs.get("push_to_hub"):
                    upload_files(save_directory, files, **{key: kwargs[key] for key in _HUB if key in kwargs})
            return
        if not self._clip_frozen:
            raise ValueError(
                "CLIP was unfrozen, so it may no longer be its base: save the whole model (decoder_only=False)"
            )
        if base_model is None:
            base_model = getattr(self.config, "base_model_name_or_path", None)
            base_model_revision = base_model_revision or getattr(self.config, "base_model_revision", None)
        base_model = base_model or self.name_or_path
        if not base_model:
            raise ValueError(
                "a decoder-only checkpoint names its base CLIP, but this model does not know where its CLIP came from: "
                'pass base_model="..." (for example "openai/clip-vit-base-patch16")'
            )
        push_to_hub = kwargs.pop("push_to_hub", False)
        if args or (kwargs and not push_to_hub):
            raise TypeError(f"decoder_only=True does not take {sorted(kwargs) or 'these positional arguments'}")
        if is_main_process:
            save_decoder(self, save_directory, portable_name(base_model), base_model_revision)
            files = ["config.json", DECODER_FILE, *save_beside(self, save_directory)]
            if push_to_hub:
                upload_files(save_directory, files, **kwargs)


def _load_config(
    name: str | os.PathLike, place: dict[str, Any], kwargs: dict[str, Any]
) -> tuple[CLIPSegConfig, dict[str, Any]]:
    """The configuration of a checkpoint with the fields in `kwargs` set, and what else is in `kwargs`."""
    _check_model_type(CLIPSegConfig.get_config_dict(name, **place)[0], name, expected="clipseg")
    fields = {key: value for key, value in kwargs.items() if key not in (*_PLACE, "dtype", "torch_dtype")}
    config, unused = CLIPSegConfig.from_pretrained(name, return_unused_kwargs=True, **place, **fields)
    for field in OPTIONAL_FIELDS.keys() & unused.keys():
        setattr(config, field, unused.pop(field))
    return config, {key: value for key, value in kwargs.items() if key in unused or key not in fields}


def _refuse_export(name: str | os.PathLike) -> None:
    """Refuse a folder that `clipseg-hf export onnx` wrote, which has graphs in place of weights."""
    if os.path.isdir(os.path.join(name, "onnx")) and not any(
        file.endswith((".safetensors", ".bin", ".index.json")) for file in os.listdir(name)
    ):
        raise ValueError(
            f"{name} holds ONNX graphs and no weights: load it by Segmenter.from_pretrained(..., backend='onnx'), or "
            "name the checkpoint that it was exported from"
        )


def _check_model_type(stored: dict[str, Any], name: str | os.PathLike, expected: str) -> None:
    """Refuse a checkpoint of another kind of model, with the way to go for the two that are easily confused."""
    found = stored.get("model_type")
    if found == expected:
        return
    hints = {
        "clip": "a bare CLIP without a decoder: CLIPSegForImageSegmentation.from_clip puts a fresh one on it",
        "clipseg": "a CLIPSeg already: load it by CLIPSegForImageSegmentation.from_pretrained",
    }
    raise ValueError(f"{name} is {hints.get(str(found), f'a model of type {found!r}, expected {expected!r}')}")
