"""`transformers.CLIPSegConfig` is the configuration: our optional fields, its checks, the way to CLIP's and back."""

from typing import Any, cast

from transformers import CLIPConfig, CLIPSegConfig, CLIPTextConfig, CLIPVisionConfig

from clipseg_hf.modeling.loss import LOSSES
from clipseg_hf.modeling.thresholds import check_thresholds

# Fields that stock's configuration keeps but does not know, with the values that stand for stock's behaviour.
OPTIONAL_FIELDS: dict[str, Any] = {
    "decoder_dropout": 0.0,
    "loss_type": "bce",
    "refiner": None,
    "conditional_layers": None,
    "prompt_tokens": None,
    "image_prompt_weight": 0.5,
}
REFINER_CHANNELS = 8
BESIDE = "beside"  # in `prompt_tokens`, see `has_tokens_beside`

# What a tower's configuration holds for its own class only.
_OWN_FIELDS = ("model_type", "transformers_version", "architectures", "dtype", "torch_dtype", "_name_or_path")


def get_field(config: CLIPSegConfig, name: str) -> Any:
    """The value of one of `OPTIONAL_FIELDS` in `config`, or its default where a checkpoint does not hold it."""
    value = getattr(config, name, None)
    return OPTIONAL_FIELDS[name] if value is None else value


def weight_beside_text(config: CLIPSegConfig, given: Any = None) -> Any:
    """An example's share in a prompt that has a text, too: as given, or where that is None the checkpoint's own."""
    return get_field(config, "image_prompt_weight") if given is None else given


def refiner_channels(config: CLIPSegConfig) -> int | None:
    """How wide the refiner is that `config.refiner` asks for; None for no refiner.

    Raises:
        ValueError: it asks for something else.
    """
    refiner = get_field(config, "refiner")
    if refiner is None:
        return None
    if not isinstance(refiner, dict) or not refiner.keys() <= {"channels"}:
        raise ValueError(f'refiner={refiner!r} must be None, {{}} or {{"channels": {REFINER_CHANNELS}}}')
    channels = refiner.get("channels", REFINER_CHANNELS)
    if not isinstance(channels, int) or channels < 4 or channels % 2:
        raise ValueError(f"a refiner's channels must be an even number of at least 4, got {channels!r}")
    return channels


def conditional_layers(config: CLIPSegConfig) -> list[int]:
    """The steps of the decoder at which the prompt modulates the tokens: stock's `conditional_layer`, or several.

    Raises:
        ValueError: `config.conditional_layers` names steps that the decoder does not have, twice, or without stock's.
    """
    steps, first, count = get_field(config, "conditional_layers"), config.conditional_layer, len(config.extract_layers)
    if steps is None:
        return [first]
    are_numbers = isinstance(steps, (list, tuple)) and all(type(step) is int for step in steps)
    if not are_numbers or list(steps) != sorted({*steps} & {*range(count)}) or first not in steps:
        raise ValueError(
            f"conditional_layers={steps!r} must be None or name steps of the decoder in their order, from 0 to "
            f"{count - 1}, conditional_layer={first} among them: {list(range(count))} for all"
        )
    return list(steps)


def prompt_tokens(config: CLIPSegConfig) -> tuple[int, int]:
    """How many words of a text and how many cells of an example the decoder attends to, beside their vector.

    Raises:
        ValueError: `config.prompt_tokens` is neither None nor like {"text": 16, "image": 16}.
    """
    wanted = get_field(config, "prompt_tokens")
    if wanted is None:
        return 0, 0
    counts = dict(wanted) if isinstance(wanted, dict) else {}
    beside = counts.pop(BESIDE, False)
    are_numbers = sorted(counts) == ["image", "text"] and all(type(n) is int and n > 0 for n in counts.values())
    if not are_numbers or round(counts["image"] ** 0.5) ** 2 != counts["image"] or type(beside) is not bool:
        raise ValueError(
            f'prompt_tokens={wanted!r} must be None or like {{"text": 16, "image": 16}}: how many words of a text and '
            "how many cells of an example, a square number, the decoder attends to; and "
            f'"{BESIDE}": true, if it shall work without them, too'
        )
    return counts["text"], counts["image"]


def has_tokens_beside(config: CLIPSegConfig) -> bool:
    """Whether the attention to prompts' tokens stands beside a decoder that is trained to work without it, too."""
    return any(prompt_tokens(config)) and bool(get_field(config, "prompt_tokens").get(BESIDE))


def row_width(config: CLIPSegConfig) -> int:
    """How wide a row of `conditional_embeddings` is: CLIP's vector, and the prompt's tokens where there are any."""
    return cast(int, config.projection_dim) * (1 + sum(prompt_tokens(config)))


def unknown_to_stock(config: CLIPSegConfig) -> list[str]:
    """What of the decoder stock's CLIPSeg would leave away, and give other masks: the fields, as one would write them.
    (What stands beside the decoder is not among it: without its refiner, and attention to prompts' tokens that it works
    without, stock gives the decoder's own logits.)"""
    found = []
    if len(conditional_layers(config)) > 1:
        found.append(f"conditional_layers={conditional_layers(config)}")
    if any(prompt_tokens(config)) and not has_tokens_beside(config):
        found.append(f"prompt_tokens={get_field(config, 'prompt_tokens')}")
    return found


def vision_fields(config: CLIPSegConfig | CLIPConfig) -> Any:
    """The vision tower's part of `config`. Stock declares it, and what it holds, wider than it is once made."""
    return config.vision_config


def clip_config_of(config: CLIPSegConfig) -> CLIPConfig:
    """The configuration of the `CLIPModel` inside of a CLIPSeg model."""
    shared: dict[str, Any] = {"projection_dim": config.projection_dim}
    text = CLIPTextConfig(**_tower_fields(config.text_config), **shared)
    vision = CLIPVisionConfig(**_tower_fields(config.vision_config), **shared)
    clip_config = CLIPConfig(
        text_config=text,
        vision_config=vision,
        projection_dim=config.projection_dim,
        logit_scale_init_value=config.logit_scale_init_value,
        initializer_factor=config.initializer_factor,
    )
    # Set last and from the outer configuration: the twins above do not pass it on.
    clip_config._attn_implementation = config._attn_implementation
    return clip_config


def clipseg_config_from(clip_config: CLIPConfig, **decoder_fields: Any) -> CLIPSegConfig:
    """A CLIPSeg configuration around `clip_config`, with the decoder's fields (`reduce_dim`, `extract_layers`, ...)."""
    config = CLIPSegConfig(
        text_config=_tower_fields(clip_config.text_config),
        vision_config=_tower_fields(clip_config.vision_config),
        projection_dim=clip_config.projection_dim,
        logit_scale_init_value=clip_config.logit_scale_init_value,
        initializer_factor=clip_config.initializer_factor,
        **decoder_fields,
    )
    check_config(config)
    return config


def check_config(config: CLIPSegConfig) -> None:
    """Refuse a configuration that could not work, or whose entries could have no effect.

    Raises:
        ValueError: naming the field, its value and the values that would do.
    """
    depth, patch = vision_fields(config).num_hidden_layers, vision_fields(config).patch_size
    layers = list(config.extract_layers)
    if not layers or any(not isinstance(layer, int) or not 0 <= layer < depth for layer in layers):
        raise ValueError(
            f"extract_layers={layers} must name at least one layer of the vision tower, each from 0 to {depth - 1} "
            f"(this tower has {depth} layers, counted from zero)"
        )
    if not 0 <= config.conditional_layer < len(layers):
        raise ValueError(
            f"conditional_layer={config.conditional_layer} would never be reached: the decoder has {len(layers)} steps "
            f"(one for each of extract_layers={layers}), so it must be from 0 to {len(layers) - 1}"
        )
    if config.reduce_dim % config.decoder_num_attention_heads:
        raise ValueError(
            f"reduce_dim={config.reduce_dim} is not a multiple of "
            f"decoder_num_attention_heads={config.decoder_num_attention_heads}"
        )
    if config.use_complex_transposed_convolution and patch != 16:
        raise ValueError(
            f"use_complex_transposed_convolution=True upsamples by 4 x 4 = 16 and so needs a vision tower of patch "
            f"size 16, this one has {patch}: use the simple readout (use_complex_transposed_convolution=False)"
        )
    dropout = get_field(config, "decoder_dropout")
    if not 0 <= dropout < 1:
        raise ValueError(f"decoder_dropout={dropout} must be at least 0 and below 1")
    loss_type = get_field(config, "loss_type")
    if loss_type not in LOSSES:
        raise ValueError(f'loss_type="{loss_type}" is unknown, choose one of {", ".join(sorted(LOSSES))}')
    conditional_layers(config)
    prompt_tokens(config)
    refiner_channels(config)
    weight = get_field(config, "image_prompt_weight")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1:
        raise ValueError(f"image_prompt_weight={weight!r} must be in [0, 1]: 0 is the text alone, 1 the image alone")
    check_thresholds(getattr(config, "mask_thresholds", None))


def _tower_fields(config: Any) -> dict[str, Any]:
    fields = config.to_dict()
    return {key: value for key, value in fields.items() if key not in (*_OWN_FIELDS, "projection_dim")}
