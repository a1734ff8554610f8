"""Everything that a training run can be told: one documented dataclass, written to and read from YAML."""

import typing
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path

import yaml

from clipseg_hf._text_files import parse_yaml, read_text, short_repr
from clipseg_hf.console.values import as_type, check_range, closest

METRICS = tuple(f"{kind}_{name}" for kind in ("text", "image") for name in ("miou_best", "miou_0.5", "ap", "auroc"))
"""What a validation measures; `clipseg_hf.evaluation` says how."""


def _option(default, help: str, choices: tuple = (), *, low=None, high=None, free=False):
    """A field with its meaning, the values it takes, its lowest and highest value. What is `free` says where things
    are, how fast they go or what is reported: a run may go on with another value."""
    default = {"default_factory": dict} if default is dict else {"default": default}
    return field(**default, metadata={"help": help, "choices": choices, "low": low, "high": high, "free": free})


@dataclass
class CLIPSegTrainingArguments:
    """The settings of one training run. `describe()` lists every field with its default and meaning.

    Names follow transformers' `TrainingArguments` and Accelerate's examples wherever those name the same thing. The
    defaults are the paper's PhraseCut+ recipe (section 4 and the released training files).

    Raises:
        TypeError, ValueError: on creation, for a value of the wrong type or outside its range; the message names the
            field, what came and what it takes.
    """

    output_dir: str = _option(
        "clipseg-output", "folder of the run: checkpoints, logs, pictures, the finished model", free=True
    )

    # Model: one of the first two, or both.
    model_name_or_path: str | None = _option(None, "CLIPSeg checkpoint to fine-tune (Hub name or folder)", free=True)
    clip_name_or_path: str | None = _option(
        None, "CLIP checkpoint that gets a fresh decoder, or that of model_name_or_path (Hub name or folder)", free=True
    )
    model_revision: str | None = _option(None, "revision of that checkpoint on the Hub; default: its main branch")
    pretrained_clip: bool = _option(True, "False: CLIP's architecture with random weights (the paper's ablation)")
    extract_layers: tuple[int, ...] | None = _option(
        None, "CLIP layers the decoder reads, counted from 0; default: (3, 7, 9), the paper's"
    )
    reduce_dim: int | None = _option(None, "width of the decoder; default: 64", low=1)
    decoder_intermediate_size: int | None = _option(None, "width of its blocks' MLP; default: 2048", low=1)
    use_complex_transposed_convolution: bool | None = _option(None, "the refined readout; default: False")
    conditional_layers: tuple[int, ...] | None = _option(
        None, "steps of the decoder at which the prompt modulates the tokens; default: (0,), the paper's"
    )
    prompt_tokens: dict | None = _option(  # noqa: RUF009
        None,
        'words of a text and cells of an example that the decoder attends to, like {"text": 16, "image": 16}, with '
        "beside: true if it shall work without them, too; default: the checkpoint's own, or none, as in the paper",
    )
    decoder_dropout: float | None = _option(
        None,
        "dropout probability in the decoder; default: 0.1 for a fresh decoder, else the checkpoint's own",
        low=0,
        high=1,
    )
    refiner: dict | None = _option(  # noqa: RUF009
        None, "a head that looks at the pixels: {}, or {channels: 8} for its width; default: the checkpoint's own"
    )
    freeze_decoder: bool = _option(False, "train the refiner alone")
    loss_type: str | None = _option(
        None, "pixel loss; default: bce, or the checkpoint's own", ("bce", "focal", "dice", "bce_dice")
    )

    # Data
    train_data: str | None = _option(
        None, "folder in PhraseCut's layout, or whatever load_segmentation_dataset reads", free=True
    )
    validation_data: str | None = _option(
        None, "the same for validation; default: the validation split of train_data", free=True
    )
    train_split: str = _option("train", "split of train_data to train on")
    validation_split: str = _option("val", "split to validate on", free=True)
    validation_fraction: float = _option(
        0.0, "share of the training images set aside for validation, for data without a validation split", low=0, high=1
    )
    data_options: dict = _option(dict, "further arguments of load_segmentation_dataset, e.g. column names")  # noqa: RUF009
    max_train_samples: int | None = _option(None, "train on the first so many images only; default: all", low=1)
    without_concepts: tuple[str, ...] = _option(
        (), "drop phrases that name these classes, e.g. (pascal, unseen-10) or (pascal5i-fold0,)"
    )
    without_words: tuple[str, ...] = _option((), "drop phrases that hold one of these words")
    min_area: float = _option(
        0.0, "drop phrases whose mask covers a smaller share of the image (0 to 1)", low=0, high=1
    )
    strict: bool = _option(False, "stop at a broken image instead of skipping, counting and logging it", free=True)

    # Samples: see data.SamplingSettings and processing.VisualPromptSettings.
    image_size: int | tuple[int, int] = _option(352, "side of the query image in pixels, or (height, width)")
    phrases_per_image: int = _option(1, "prompts asked of each image that a step encodes", low=1)
    negative_probability: float = _option(0.2, "probability that a prompt asks for something absent", low=0, high=1)
    support_probability: float = _option(
        1.0, "probability that a prompt gets an example image where one exists", low=0, high=1
    )
    mix: str = _option(
        "code",
        "weight of the example image in a prompt: code (U[0.5, 1], as released), paper (U[0, 1]), text (0), image (1)",
        ("code", "paper", "text", "image"),
    )
    prefixes: tuple[str, ...] | None = _option(None, "templates with one {}; default: the nine of PhraseCut+")
    crop: bool = _option(True, "random square crops of the shorter side; False: the whole image, squashed")
    min_foreground: float = _option(
        0.05, "share of the image that a crop's object should cover (0 to 1)", low=0, high=1
    )
    hflip: float = _option(0.0, "probability of a horizontal flip", low=0, high=1)
    color_jitter: float = _option(0.0, "strength of random brightness, contrast and saturation", low=0, high=1)
    visual_prompt: dict = _option(  # noqa: RUF009
        dict, "changes to the visual prompt, e.g. {crop: false}; default: the processor's own"
    )

    # Optimisation
    max_steps: int = _option(20_000, "optimizer steps", low=1)
    num_train_epochs: float | None = _option(None, "passes over the training images; if given, sets max_steps")
    per_device_train_batch_size: int = _option(64, "prompts in one forward pass of one device", low=1, free=True)
    gradient_accumulation_steps: int = _option(
        1, "forward passes of each device in one optimizer step", low=1, free=True
    )
    learning_rate: float = _option(1e-3, "peak learning rate of AdamW", low=0)
    min_learning_rate: float = _option(1e-4, "learning rate that it falls to", low=0)
    lr_scheduler_type: str = _option("cosine", "how the rate falls", ("cosine", "linear", "constant"))
    warmup_steps: int = _option(0, "steps over which the rate first rises from 0", low=0)
    weight_decay: float = _option(0.01, "AdamW's weight decay (PyTorch's default, as the original)", low=0)
    adam_beta1: float = _option(0.9, "AdamW's beta1", low=0, high=1)
    adam_beta2: float = _option(0.999, "AdamW's beta2", low=0, high=1)
    adam_epsilon: float = _option(1e-8, "AdamW's epsilon", low=0)
    max_grad_norm: float = _option(1.0, "clip the gradient's norm to this; 0: no clipping", low=0)
    mixed_precision: str = _option(
        "auto",
        "auto: what accelerate launch says, without it bf16 where the device computes in it",
        ("auto", "bf16", "fp16", "no"),
    )
    seed: int = _option(0, "fixes initialisation, order, samples and dropout", low=0)

    # Speed
    cache_prompts: bool = _option(False, "encode every text and every (whole) example image once, keep the vectors")
    cache_features: bool = _option(False, "encode every query image once; needs crop, hflip and color_jitter off")
    cache_dir: str | None = _option(None, "where those are kept; default: output_dir/cache", free=True)
    dataloader_num_workers: int = _option(0, "processes that read images, per device", low=0, free=True)
    dataloader_prefetch_factor: int = _option(2, "batches each of them prepares ahead", low=1, free=True)
    torch_compile: bool = _option(False, "compile the vision tower and the decoder", free=True)
    torch_compile_backend: str = _option("inductor", "by which of torch.compile's backends", free=True)
    use_cpu: bool = _option(False, "train on the CPU even where there is an accelerator", free=True)

    # Validation
    eval_steps: int | None = _option(1000, "validate every so many steps; none: never", low=1, free=True)
    eval_samples: int = _option(256, "images of the fixed subset that is validated on", low=1, free=True)
    per_device_eval_batch_size: int = _option(
        64, "prompts in one forward pass of one device in validation", low=1, free=True
    )
    metric_for_best_model: str = _option(
        "text_miou_best", "which validation number picks the best model, the higher the better", METRICS, free=True
    )
    early_stopping_patience: int | None = _option(
        None, "stop after so many validations without a better one", low=1, free=True
    )
    load_best_model_at_end: bool = _option(True, "the finished model is the best one, not the last", free=True)
    calibrate: bool = _option(True, "at the end, find the thresholds on the validation data and store them", free=True)
    calibration_samples: int = _option(1000, "images that the thresholds are found on", low=1, free=True)
    calibration_weights: tuple[float, ...] = _option(
        (),
        "weights of an example beside a text, in [0, 1], of which the best on the validation data is stored, too, such "
        "as (0.3, 0.5, 0.7); empty: the model's own stays, or 0.5",
        low=0,
        high=1,
        free=True,
    )
    picture_samples: int = _option(6, "images in the picture grid of each validation; 0: no grid", low=0, free=True)

    # Checkpoints
    save_steps: int = _option(1000, "write a checkpoint every so many steps, and at the end", low=1, free=True)
    save_total_limit: int = _option(2, "checkpoints to keep; the best model is kept besides", low=1, free=True)
    save_decoder_only: bool = _option(
        False, "write models of a few MB that name their CLIP instead of holding it", free=True
    )
    resume_from_checkpoint: bool | str = _option(
        True,
        "True: go on from the last whole checkpoint in output_dir if there is one; a folder: a branch, which leaves "
        "from that checkpoint of any run and goes on from its own in output_dir once it has some; False: refuse an "
        "output_dir that holds checkpoints",
        free=True,
    )

    # Logging
    logging_steps: int = _option(10, "write the loss every so many steps", low=1, free=True)
    report_to: tuple[str, ...] = _option(("tensorboard",), "Accelerate's trackers by name; empty: none", free=True)
    run_name: str | None = _option(None, "name of the run in the trackers; default: the folder's", free=True)
    disable_tqdm: bool = _option(False, "no progress bar", free=True)

    # Hub
    push_to_hub: bool = _option(False, "publish the finished model, as `clipseg-hf publish` does", free=True)
    hub_model_id: str | None = _option(
        None, "repository to publish in; default: the folder's name under your account", free=True
    )
    hub_private_repo: bool | None = _option(None, "make that repository private", free=True)
    hub_license: str | None = _option(None, "licence of the weights, as apache-2.0; needed to publish", free=True)
    hub_data_license: str | None = _option(
        None, "licence of the training data, an identifier or words; needed to publish", free=True
    )
    hub_prompts: tuple[str, ...] = _option((), "what the published model is for: widget and pipeline ask it", free=True)

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for option in fields(self):
            value = as_type(option.name, getattr(self, option.name), hints[option.name])
            check_range(option.name, value, **{k: option.metadata[k] for k in ("choices", "low", "high")})
            setattr(self, option.name, value)
        for template in self.prefixes or ():
            if template.count("{}") != 1:
                raise ValueError(f"prefixes are texts with one {{}}, where the phrase goes; got {template!r}.")
        self._check_combinations()

    def _check_combinations(self):
        fresh = ("extract_layers", "reduce_dim", "decoder_intermediate_size", "use_complex_transposed_convolution")
        given = [name for name in fresh if getattr(self, name) is not None]
        if self.model_name_or_path and self.clip_name_or_path:
            if self.freeze_decoder:
                raise ValueError(
                    f"freeze_decoder leaves the decoder of {self.model_name_or_path!r} as it is, but on another CLIP "
                    f"({self.clip_name_or_path!r}) its masks mean nothing until it is trained: train it first."
                )
            if self.model_revision:
                raise ValueError(
                    "model_revision could be of model_name_or_path or of clip_name_or_path: download that revision "
                    "(huggingface_hub.snapshot_download) and name its folder."
                )
        if self.model_name_or_path and given:
            raise ValueError(
                f"{', '.join(given)} can only be chosen for a fresh decoder (clip_name_or_path alone); "
                f"{self.model_name_or_path!r} has its own."
            )
        if self.freeze_decoder and not self.model_name_or_path:
            raise ValueError("freeze_decoder leaves a decoder as it was trained, so it goes with model_name_or_path.")
        if self.model_name_or_path and not self.pretrained_clip:
            raise ValueError("pretrained_clip=False goes with clip_name_or_path, whose architecture it takes.")
        if self.per_device_train_batch_size % self.phrases_per_image:
            raise ValueError(
                f"per_device_train_batch_size counts prompts and is a multiple of phrases_per_image, got "
                f"{self.per_device_train_batch_size} and {self.phrases_per_image}."
            )
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate ({self.min_learning_rate}) is what the rate falls to and cannot exceed "
                f"learning_rate ({self.learning_rate})."
            )
        random = [name for name in ("crop", "hflip", "color_jitter") if getattr(self, name)]
        if self.cache_features and random:
            raise ValueError(
                f"cache_features keeps one encoding of each image, which {', '.join(random)} would change at random: "
                "set crop: false, hflip: 0 and color_jitter: 0, or leave cache_features off."
            )
        if self.calibration_weights and not self.calibrate:
            raise ValueError("calibration_weights are chosen from by the calibration: set calibrate: true.")
        if self.early_stopping_patience and not self.eval_steps:
            raise ValueError("early_stopping_patience needs validations: set eval_steps.")

    @classmethod
    def from_dict(cls, values: Mapping) -> "CLIPSegTrainingArguments":
        """Make the arguments of plain values. An unknown key is a ValueError that suggests the right one."""
        known = [option.name for option in fields(cls)]
        unknown = [key for key in values if key not in known]
        if unknown:
            hints = "".join(
                f" {short_repr(key)}:{closest(key, known) or ' nothing has a similar name.'}" for key in unknown[:10]
            )
            raise ValueError(f"Unknown training argument{'s' if len(unknown) > 1 else ''}.{hints}")
        return cls(**values)

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Mapping | None = None) -> "CLIPSegTrainingArguments":
        """Read a recipe. `extends: other.yaml` (relative to the recipe) takes that recipe first; `overrides` go last.

        Raises:
            FileNotFoundError: no such recipe.
            ValueError: broken YAML, an unknown key, a wrong value; the message names the file.
        """
        values = {**_read_recipe(Path(path)), **(overrides or {})}
        try:
            return cls.from_dict(values)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from error

    def to_dict(self) -> dict:
        """All fields as plain values (tuples as lists), as YAML and JSON keep them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The resolved recipe, every field included; written to `path` if given. `from_yaml` reads it back equal."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    def replace(self, **changes) -> "CLIPSegTrainingArguments":
        """A copy with some fields changed, checked again."""
        return replace(self, **changes)

    @classmethod
    def describe(cls) -> str:
        """One line for each field: its name, default and meaning."""
        lines = []
        for option in fields(cls):
            default = option.default if option.default is not MISSING else option.default_factory()
            choices = f" [{', '.join(option.metadata['choices'])}]" if option.metadata["choices"] else ""
            lines.append(f"{option.name} = {default!r}: {option.metadata['help']}{choices}")
        return "\n".join(lines)


def _read_recipe(path: Path, seen: tuple[Path, ...] = ()) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"There is no recipe {path}.")
    if path.resolve() in seen:
        raise ValueError(f"{path} extends itself, by way of {' -> '.join(p.name for p in seen)}.")
    values = parse_yaml(read_text(path), path) or {}
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a recipe is a list of `key: value` lines, found {type(values).__name__}.")
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise ValueError(f"{path}: extends is the name of another recipe, got {short_repr(base)}.")
    return {**_read_recipe(path.parent / base, (*seen, path.resolve())), **values}
