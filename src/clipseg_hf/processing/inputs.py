"""What the processor returns."""

from typing import Any

from transformers import BatchFeature


class CLIPSegInputs(BatchFeature):
    """What the processor returns: the items are arguments of the model, so that `model(**inputs)` works with this
    model and with that of transformers. Beside them, as attributes:

    Attributes:
        original_sizes: (height, width) of each image, the right way up; `target_sizes` for post-processing.
        prompt_kinds: of each prompt "text", "image" or "mixed"; post-processing chooses the threshold by it.
    """

    original_sizes: list[tuple[int, int]] | None = None
    prompt_kinds: list[str] | None = None

    def __getitem__(self, item: Any) -> Any:
        if item in ("original_sizes", "prompt_kinds"):
            return getattr(self, item)
        return super().__getitem__(item)

    def __getstate__(self) -> dict[str, Any]:
        return {"data": self.data, "original_sizes": self.original_sizes, "prompt_kinds": self.prompt_kinds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
