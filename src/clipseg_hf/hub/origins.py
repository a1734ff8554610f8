"""Where a checkpoint comes from: what its publisher says, and what its folder tells."""

import json
import re
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.utils import validate_repo_id
from transformers.utils import cached_file

from clipseg_hf.hub.portable import portable
from clipseg_hf.inference.prompt_reading import parse_prompt
from clipseg_hf.modeling.model_names import EMBEDDED

RECIPE, PROVENANCE, RESULT = "recipe.yaml", "provenance.json", "manifest.json"
# Likewise of the other trainings of an average of checkpoints, and of what was put beside the decoder after.
# Nobody else's files: what matches is replaced by the next publication.
RECORDS = (RECIPE, "recipe-[0-9]*.yaml", "refiner-recipe.yaml")
RECORDS += (PROVENANCE, "provenance-[0-9]*.json", "refiner-provenance.json")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")


@dataclass(frozen=True)
class Release:
    """What only the publisher of a checkpoint can say.

    Attributes:
        repo_id: where it will be, "name/of-the-model".
        license: of the weights, by the Hub's identifier ("apache-2.0", "cc-by-nc-4.0", ...).
        data_license: of the data that it was trained on, in words or by an identifier.
        decoder_only: give the decoder alone, which names its base CLIP by its id on the Hub.
        onnx: also the graphs that `export_onnx` writes, in all precisions.
        prompts: what the widget, the pipeline and the samples ask where nobody says; kept as `id2label`. Left out, the
            checkpoint's own.
        samples: pictures that may be shown, on which the model draws what it finds. Left out, scenes of this package.
        reports, reports_before: folders that `clipseg-hf evaluate -o` wrote, of this model and of what it started from.
        report_dataset: id on the Hub of the data that the reports are of.
        datasets: ids on the Hub of the data that it was trained on.
        base_model, base_revision: id on the Hub of what it was trained from. Left out, what its files say.
        limits: what a user should know besides of where it fails.

    Raises:
        ValueError: a licence is missing, an id is none, or a prompt cannot be read.
    """

    repo_id: str
    license: str
    data_license: str
    decoder_only: bool = False
    onnx: bool = False
    prompts: tuple[str, ...] = ()
    samples: tuple[str | PathLike, ...] = ()
    reports: tuple[str | PathLike, ...] = ()
    reports_before: tuple[str | PathLike, ...] = ()
    report_dataset: str | None = None
    datasets: tuple[str, ...] = ()
    base_model: str | None = None
    base_revision: str | None = None
    limits: str | None = None

    def __post_init__(self) -> None:
        check_repo_id(self.repo_id)
        check_license(self.license)
        check_data_license(self.data_license)
        for name in ("base_model", "report_dataset"):
            if getattr(self, name) is not None and not _HUB_ID.fullmatch(getattr(self, name)):
                raise ValueError(
                    f"{name} is an id on the Hub, such as openai/clip-vit-base-patch16; got {getattr(self, name)!r}."
                )
        for prompt in self.prompts:  # before they are the first thing that a visitor's pipeline fails on
            if not prompt.strip():
                raise ValueError(f"prompts are phrases, none of them empty; got {', '.join(map(repr, self.prompts))}.")
            parse_prompt(prompt)
        if self.onnx and self.decoder_only:
            raise ValueError("onnx needs the whole model, and decoder_only leaves its CLIP out: give one of them.")
        if self.base_revision and not self.base_model:
            raise ValueError("base_revision is a revision of base_model: give both.")


def check_repo_id(repo_id: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        ValueError: of that kind.
    """
    try:
        validate_repo_id(repo_id)
        reason = "" if "/" in repo_id else " without an account"
    except ValueError as error:
        reason = f": {error}"
    if reason:
        raise ValueError(f"A repository on the Hub is called account/name, as me/my-clipseg; got {repo_id!r}{reason}.")


def check_data_license(license: str | None) -> None:
    """Refuse to say nothing about the data.

    Raises:
        ValueError: of that kind.
    """
    if not (license or "").strip():
        raise ValueError(
            "data_license says under what terms the training data are, such as cc-by-4.0, or in words; it is missing. "
            "Whoever uses the weights has to know."
        )


def check_license(license: str | None) -> None:
    """Refuse what is no identifier of a licence.

    Raises:
        ValueError: of that kind; says where the list is.
    """
    if not license or not _LICENSE.fullmatch(license):
        raise ValueError(
            f"license is an identifier of the Hub's such as apache-2.0, mit or cc-by-4.0; got {license!r}. The list: "
            "https://huggingface.co/docs/hub/repositories-licenses."
        )


@dataclass(frozen=True)
class Base:
    """What a model was trained from.

    Attributes:
        name: as its files have it, without the path of another machine.
        revision: on the Hub, where it is known.
        on_hub: whether it is an id on the Hub, which others can follow.
    """

    name: str
    revision: str | None = None
    on_hub: bool = False

    @property
    def link(self) -> str:
        """For Markdown."""
        at = f" (revision `{self.revision}`)" if self.revision else ""
        if self.on_hub:
            return f"[{self.name}](https://huggingface.co/{self.name}){at}"
        return "the checkpoint that comes with clipseg-hf" if self.name == EMBEDDED else f"`{self.name}`"


@dataclass(frozen=True)
class Origin:
    """What the folder of a trained checkpoint tells beside its weights; empty where it tells nothing.

    Attributes:
        recipe, provenance: as the training wrote them, without paths of this machine.
        result: steps, seconds and last numbers of the training.
        others: file name -> recipe or provenance of another training that is part of it, such as `recipe-2.yaml`.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Origin":
        """Read what is there."""

        def read(name: str) -> dict:
            path = folder / name
            return portable(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else {}

        named = sorted({path.name for pattern in RECORDS for path in folder.glob(pattern)} - {RECIPE, PROVENANCE})
        return cls(
            read(RECIPE),
            read(PROVENANCE),
            read(RESULT).get("facts", {}),
            {name: told for name in named if (told := read(name))},
        )

    def write(self, folder: Path) -> None:
        """Recipes and provenances as files again."""
        for name, content in {RECIPE: self.recipe, PROVENANCE: self.provenance, **self.others}.items():
            if not content:
                continue
            if name.endswith(".json"):
                text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
            else:
                text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            (folder / name).write_text(text, encoding="utf-8")


def find_base(release: Release, config: Any, origin: Origin, *, offline: bool = False) -> Base | None:
    """What a checkpoint was trained from: as the publisher says, as its configuration does, or as its recipe does.

    A name in a file counts as one on the Hub where the local cache has it, for "outputs/clip" looks like one, too; the
    publisher's is asked for there, unless `offline`.
    """
    if release.base_model:
        found = _on_hub(release.base_model, release.base_revision, cached=offline)
        return found or Base(release.base_model, release.base_revision, on_hub=True)
    name, revision = getattr(config, "base_model_name_or_path", None), getattr(config, "base_model_revision", None)
    if not name:
        name = origin.recipe.get("model_name_or_path") or origin.recipe.get("clip_name_or_path")
        revision = origin.recipe.get("model_revision")
    if not name:
        return None
    return _on_hub(name, revision, cached=True) or Base(portable(name))


def _on_hub(name: str, revision: str | None, *, cached: bool) -> Base | None:
    if name == EMBEDDED or not _HUB_ID.fullmatch(name) or Path(name).exists():
        return None
    try:
        file = cached_file(
            name,
            "config.json",
            revision=revision,
            local_files_only=cached,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
    except OSError:  # no such repository
        return None
    commit = re.search(r"snapshots[\\/]([0-9a-f]{40})[\\/]", file or "")
    return Base(name, commit[1] if commit else revision, on_hub=True) if file else None
