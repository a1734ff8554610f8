"""Labels shards: what each process of a run, or each actor of a cluster, does."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clipseg_hf.inference.prompt_reading import read_prompts
from clipseg_hf.inference.segmenter import Segmenter
from clipseg_hf.labelling.manifest import Settings
from clipseg_hf.labelling.model_digests import digest_model
from clipseg_hf.labelling.pictures import Pictures
from clipseg_hf.labelling.shards import found_rows, shard_file, shard_range, write_shard
from clipseg_hf.modeling.layers.matrix_code import keep_choices
from clipseg_hf.processing import load_image


@dataclass(frozen=True)
class Job:
    """All that a process needs to know of a run; it can be sent to any that sees the same files.

    Attributes:
        folder: where the run is.
        model: folder or name on the Hub.
        device: see `Segmenter.from_pretrained`.
        matrix_code: what all processes of the run compute with, see `keep_choices`.
    """

    folder: Path
    settings: Settings
    pictures: Pictures
    model: str
    device: str | None = None
    matrix_code: Mapping[str, bool] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        """How many there are in all."""
        return -(-len(self.pictures.names) // self.settings.shard_size)

    def numbers(self, shard: int) -> range:
        """Of the pictures in a shard."""
        return shard_range(shard, self.settings.shard_size, len(self.pictures.names))


class Labeller:
    """A model with its prompts, encoded once, for any number of shards.

    Raises:
        ValueError: the model is another one than that which the run was started with.
    """

    def __init__(self, job: Job, segmenter: Segmenter | None = None):
        self.job = job
        keep_choices(job.matrix_code)
        self.segmenter = segmenter or Segmenter.from_pretrained(
            job.model, device=job.device, guided_filter=job.settings.guided_filter
        )
        if segmenter is None and digest_model(self.segmenter) != job.settings.model_digest:
            raise ValueError(f"{job.model} is another model here than where the run was started.")
        self.question = self.segmenter.ask(read_prompts(job.settings.prompts))

    def __call__(self, shard: int, on_picture: Callable[[], Any] = lambda: None) -> int:
        """Label a shard, unless that is done; -> its number."""
        path = shard_file(self.job.folder, shard)
        if not path.exists():
            write_shard(path, list(self._rows(shard, on_picture)))
        return shard

    def _rows(self, shard: int, on_picture: Callable[[], Any]) -> Iterator[dict]:
        pictures, settings = self.job.pictures, self.job.settings
        for number in self.job.numbers(shard):
            name = pictures.names[number]
            try:
                image = load_image(pictures.image(number), name)
            except (OSError, ValueError, TypeError) as error:
                yield {"image": name, "error": " ".join(str(error).split())}
            else:
                [result] = self.segmenter(image, self.question, settings.threshold)
                found = result.clean(settings.operations).to_dict(objects=True)
                yield from found_rows(name, found, self.question.mask_thresholds["presence"])
            on_picture()
