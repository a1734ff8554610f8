"""The folder of a published checkpoint: every file that goes up is written here, and looked at before it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import yaml

from clipseg_hf._output_files import new_folder
from clipseg_hf.export.card import precision_table
from clipseg_hf.export.exporting import add_graphs, check_exporter
from clipseg_hf.hub.cards.measured import Report, eval_entries
from clipseg_hf.hub.cards.model_card import CheckpointCard
from clipseg_hf.hub.checking import check_loading
from clipseg_hf.hub.origins import Base, Origin, Release, find_base
from clipseg_hf.hub.portable import clean_json, file_names, refuse_private
from clipseg_hf.hub.remote_code import add_repository_files
from clipseg_hf.hub.samples import draw_samples
from clipseg_hf.inference import Segmenter
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.checkpoints.beside import beside_of
from clipseg_hf.modeling.configuration import unknown_to_stock, weight_beside_text
from clipseg_hf.modeling.model_names import resolve_name
from clipseg_hf.processing import CLIPSegProcessor
from clipseg_hf.processing.sizes import input_size

EVALUATION, EVAL_RESULTS = "evaluation", ".eval_results/clipseg-hf.yaml"
_PLAIN = ("config.json", "processor_config.json", "tokenizer_config.json")  # no vocabulary, in which "/" is a word


@dataclass(frozen=True)
class Checkpoint:
    """A model to be published.

    Attributes:
        model, processor: as they are loaded.
        origin: what its folder tells.
        place: that folder, if it is one.
    """

    model: CLIPSegForImageSegmentation
    processor: CLIPSegProcessor
    origin: Origin
    place: Path | None = None

    @classmethod
    def load(cls, folder: str | PathLike) -> "Checkpoint":
        """Load it, in the type of its weights.

        Raises:
            OSError, ValueError: see `CLIPSegForImageSegmentation.from_pretrained`.
        """
        place = Path(resolve_name(folder))
        if not place.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}: what is published is the folder of a checkpoint.")
        model = CLIPSegForImageSegmentation.from_pretrained(place, dtype="auto")
        return cls(model, CLIPSegProcessor.from_pretrained(place), Origin.read(place), place)

    @classmethod
    def from_memory(cls, model: CLIPSegForImageSegmentation, processor: CLIPSegProcessor) -> "Checkpoint":
        """A model in hand, of which no folder tells where it comes from."""
        return cls(model, processor, Origin())


def stage_checkpoint(
    checkpoint: Checkpoint, release: Release, folder: str | PathLike, *, offline: bool = False
) -> list[str]:
    """Write all that a published checkpoint consists of, load it anew and compare it with the model in hand.

    Args:
        checkpoint: what is published.
        release: how.
        folder: a new or empty one.
        offline: ask the Hub nothing about the base.

    Returns:
        The names of the files.

    Raises:
        FileExistsError: the folder holds something, or is a file.
        ImportError: what writes ONNX graphs is missing.
        FileNotFoundError: a report or a picture is missing.
        ValueError: the decoder's base is not on the Hub, what is loaded differs, a file names a folder of this machine.
    """
    with new_folder(Path(folder)) as folder:
        reports, before = ([Report.read(path) for path in paths] for paths in (release.reports, release.reports_before))
        base = find_base(release, checkpoint.model.config, checkpoint.origin, offline=offline)
        if release.onnx:
            check_exporter()
        prompts = release.prompts or named_prompts(checkpoint.model.config)
        _write_model(checkpoint, release, base, prompts, folder)
        add_repository_files(folder)
        checkpoint.processor.save_pretrained(folder)
        for name in _PLAIN:
            clean_json(folder / name)
        check_loading(folder, checkpoint.model, checkpoint.processor, whole=not release.decoder_only)
        graphs = _add_graphs(folder, checkpoint.processor) if release.onnx else ""
        checkpoint.origin.write(folder)
        _write_reports(reports, release.report_dataset, folder)
        card = CheckpointCard(
            release=release,
            origin=checkpoint.origin,
            base=base,
            prompts=prompts,
            samples=draw_samples(Segmenter(checkpoint.model, checkpoint.processor), folder, release.samples, prompts),
            reports=reports,
            before=before,
            thresholds=getattr(checkpoint.model.config, "mask_thresholds", None) or {},
            image_prompt_weight=weight_beside_text(checkpoint.model.config),
            parameters=checkpoint.model.num_parameters(),
            trained=sum(p.numel() for name, p in checkpoint.model.named_parameters() if not name.startswith("clip.")),
            size=input_size(checkpoint.processor.image_processor.size),
            graphs=graphs,
            files=file_names(folder),
            beside=[part.title for part in beside_of(checkpoint.model.config)],
            unknown_to_stock=unknown_to_stock(checkpoint.model.config),
        )
        card.render().save(folder / "README.md")
        refuse_private(folder, *([checkpoint.place] if checkpoint.place else []))
        return file_names(folder)


def named_prompts(config: Any) -> tuple[str, ...]:
    """The names in a configuration's `id2label`, none where they are transformers' placeholders."""
    names = tuple(str(name) for _, name in sorted((getattr(config, "id2label", None) or {}).items()))
    return () if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else names


def _write_model(
    checkpoint: Checkpoint, release: Release, base: Base | None, prompts: Sequence[str], folder: Path
) -> None:
    """Weights and configuration; the model's own configuration stays as it is."""
    model = checkpoint.model
    before = model.config
    model.config = type(before).from_dict(before.to_dict())
    if prompts:
        model.config.id2label = dict(enumerate(prompts))
        model.config.label2id = {name: number for number, name in enumerate(prompts)}
    try:
        if not release.decoder_only:
            model.save_pretrained(folder)
        elif base is None or not base.on_hub:
            raise ValueError(
                f"A published decoder names its base CLIP by its id on the Hub, but this one's is "
                f"{base.name if base else 'not known'}, which is not there as far as can be seen from here: give "
                "base_model (--base-model), or publish the whole model."
            )
        else:
            model.save_pretrained(folder, decoder_only=True, base_model=base.name, base_model_revision=base.revision)
    finally:
        model.config = before


def _add_graphs(folder: Path, processor: CLIPSegProcessor) -> str:
    """`onnx/` -> what the card says of it."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32)
    agreements = add_graphs(model, processor, folder, int8=True, fp16=True, echo=lambda line: None)
    return precision_table(folder, agreements)


def _write_reports(reports: Sequence[Report], dataset_id: str | None, folder: Path) -> None:
    if reports:
        (folder / EVALUATION).mkdir()
    for report in reports:
        report.write(folder / EVALUATION)
    if reports and dataset_id:
        path = folder / EVAL_RESULTS
        path.parent.mkdir()
        text = yaml.safe_dump(eval_entries(reports, dataset_id), sort_keys=False, allow_unicode=True)
        path.write_text(text, encoding="utf-8")
