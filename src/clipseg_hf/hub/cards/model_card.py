"""The card of a checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from clipseg_hf._counted import counted
from clipseg_hf._version import __version__
from clipseg_hf.hub.cards.measured import Report, before_and_after
from clipseg_hf.hub.origins import Base, Origin, Release
from clipseg_hf.hub.samples import Sample

TAGS = ["clipseg", "clipseg-hf", "zero-shot-segmentation", "one-shot-segmentation"]
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.jinja"
# What the card tells of a recipe; all of it is beside the card.
TOLD = ("max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type")
TOLD += ("loss_type", "image_size", "mix", "negative_probability", "support_probability", "crop", "seed")


@dataclass(frozen=True)
class CheckpointCard:
    """What the card of a checkpoint tells.

    Attributes:
        release: what its publisher says.
        origin: what its folder says.
        base: what it was trained from, if that is known.
        prompts: what it asks where nobody says.
        samples: pictures.
        reports, before: of evaluations, of it and of what it started from.
        thresholds: for each kind of prompt and for presence, as far as they were calibrated.
        image_prompt_weight: an example's share beside a text, where a prompt says none.
        parameters, trained: how many it has, and how many of them are not its CLIP's.
        size: (height, width) of pictures.
        graphs: a table of its ONNX graphs, if there are any.
        files: names of the other files in the repository.
        beside: what stands beside its decoder, which stock leaves away, for people.
        unknown_to_stock: what of its decoder stock would leave away, as its configuration says it.
    """

    release: Release
    origin: Origin
    base: Base | None
    prompts: Sequence[str]
    samples: Sequence[Sample]
    reports: Sequence[Report]
    before: Sequence[Report]
    thresholds: Mapping[str, float]
    image_prompt_weight: float
    parameters: int
    trained: int
    size: tuple[int, int]
    graphs: str
    files: Sequence[str]
    beside: Sequence[str] = ()
    unknown_to_stock: Sequence[str] = ()

    def render(self) -> ModelCard:
        """The card, as it goes into README.md."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return ModelCard.from_template(
            self.data,
            str(TEMPLATE),
            **facts,
            name=self.release.repo_id.rpartition("/")[2],
            version=__version__,
            before_and_after=before_and_after(self.reports, self.before),
            hardware=self.hardware,
            recipe=self.recipe,
        )

    @property
    def data(self) -> ModelCardData:
        """The metadata in its head."""
        release, relation = self.release, "adapter" if self.release.decoder_only else "finetune"
        based = (
            {"base_model": self.base.name, "base_model_relation": relation} if self.base and self.base.on_hub else {}
        )
        place = f"https://huggingface.co/{release.repo_id}/resolve/main"
        widget = [{"src": f"{place}/{s.image}", "example_title": ", ".join(s.prompts)} for s in self.samples]
        results = [result for report in self.reports for result in report.eval_results]
        return ModelCardData(
            license=release.license,
            # stock transformers refuses a decoder without its CLIP
            library_name="clipseg-hf" if release.decoder_only else "transformers",
            pipeline_tag="image-segmentation",
            datasets=list(release.datasets) or None,
            tags=TAGS + (["onnx", "transformers.js"] if self.graphs else []),
            model_name=release.repo_id.rpartition("/")[2] if results else None,
            eval_results=results or None,
            widget=widget,
            **based,
        )

    @property
    def hardware(self) -> str:
        """What it was trained on and how long, as far as that was noted."""
        told, result = self.origin.provenance, self.origin.result
        processes = counted(told["processes"], "process", "processes") if "processes" in told else None
        parts = [told.get("device"), processes]
        if told.get("mixed_precision") not in (None, "no"):
            parts.append(f"mixed precision {told['mixed_precision']}")
        if "seconds" in result:
            parts.append(f"{_duration(result['seconds'])} of training for {counted(result['step'], 'step')}")
        return ", ".join(part for part in parts if part)

    @property
    def recipe(self) -> dict[str, Any]:
        """What the card tells of the recipe."""
        return {name: self.origin.recipe[name] for name in TOLD if self.origin.recipe.get(name) is not None}


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
