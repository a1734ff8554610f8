"""A CLIPSeg in ONNX, run by onnxruntime on NumPy arrays: no torch, no transformers."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clipseg_hf.modeling.grids import patch_grid
from clipseg_hf.modeling.model_names import resolve_name
from clipseg_hf.processing.plain.processor import PlainProcessor

GRAPHS = "onnx"  # the folder where Transformers.js looks for them
SUFFIXES = {"float32": "", "float16": "_fp16", "int8": "_quantized"}  # as Transformers.js has them
_TOKENS_AT_ONCE = 2_048  # decoded; enough for full speed, few enough to bound the memory
_FILES = ["*.json", *(f"{GRAPHS}/{name}*.onnx*" for name in ("image_encoder", "prompt_encoder", "decoder"))]
_OF_THE_HUB = ("revision", "token", "cache_dir", "local_files_only", "force_download")


def load_onnx(
    name_or_path: str | os.PathLike,
    *,
    dtype: Any = None,
    device: Any = None,
    num_threads: int | None = None,
    **kwargs: Any,
) -> tuple["OnnxModel", PlainProcessor]:
    """Model and processor of a folder that `clipseg-hf export onnx` wrote, here or on the Hub.

    Args:
        name_or_path: folder or Hub name.
        dtype, device, num_threads: see `OnnxModel`.
        kwargs: of the Hub (`revision`, `token`, `cache_dir`, `local_files_only`).

    Raises:
        FileNotFoundError: there is no such folder, or it holds no ONNX graphs.
        ImportError: onnxruntime is missing.
        TypeError: another option.
        ValueError: see `OnnxModel`.
    """
    if unknown := sorted(kwargs.keys() - set(_OF_THE_HUB)):
        raise TypeError(f"An ONNX model takes no {', '.join(unknown)}; of the Hub it takes {', '.join(_OF_THE_HUB)}.")
    folder = Path(resolve_name(name_or_path))
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(os.fspath(name_or_path), allow_patterns=_FILES, **kwargs))
    return OnnxModel(folder, dtype=dtype, device=device, num_threads=num_threads), PlainProcessor.from_folder(folder)


class OnnxModel:
    """The steps of a model as `Segmenter` takes them; each graph is loaded when it is first needed.

    Args:
        folder: written by `clipseg-hf export onnx`.
        dtype: "float32", "float16" or "int8", as far as they were exported, or torch's; None: float32.
        device: "cpu", "cuda", "cuda:1", ...; None: a GPU where this onnxruntime can use one, else the CPU.
        num_threads: of the CPU's, to multiply with; None: as many as it has cores.

    Raises:
        FileNotFoundError: the folder holds no ONNX graphs.
        ImportError: onnxruntime is missing.
        ValueError: a dtype that was not exported, a device that is not there, or no number of threads.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        dtype: Any = None,
        device: Any = None,
        num_threads: int | None = None,
    ):
        if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
            raise ValueError(f"num_threads={num_threads!r} must be a positive number, or None for one a core.")
        self.folder, self.dtype = Path(folder), str(dtype or "float32").removeprefix("torch.")
        there = [name for name, suffix in SUFFIXES.items() if self._path("decoder", suffix).is_file()]
        if not there:
            raise FileNotFoundError(
                f"{folder} holds no ONNX graphs ({GRAPHS}/decoder.onnx): write them by `clipseg-hf export onnx MODEL "
                "OUT` and give OUT."
            )
        if self.dtype not in there:
            raise ValueError(f"{folder} has no graphs of dtype {dtype}; there are {', '.join(there)}.")
        self.config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        self.device = str(device) if device is not None else _best_device()
        self.num_threads = num_threads
        self._providers = _providers_for(self.device)
        self._sessions: dict[str, Any] = {}
        self._loading = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}, "_loading": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _loading=threading.Lock())

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / GRAPHS / f"{name}{suffix}.onnx"

    def run(self, name: str, **inputs: np.ndarray) -> list[np.ndarray]:
        """The outputs of a graph."""
        with self._loading:
            if name not in self._sessions:
                import onnxruntime

                path = self._path(name, SUFFIXES[self.dtype])
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self.num_threads or 0  # 0: onnxruntime chooses
                self._sessions[name] = onnxruntime.InferenceSession(path, options, providers=self._providers)
        return self._sessions[name].run(None, inputs)

    @property
    def image_prompt_weight(self) -> float:
        """See `Segmenter`."""
        weight = self.config.get("image_prompt_weight")
        return 0.5 if weight is None else float(weight)

    def encode_images(self, pixel_values: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """(B, 3, H, W) -> what the decoder needs to know of each.

        Raises:
            ValueError: if the patch size does not divide H and W, with the nearest sizes that work.
        """
        grid = np.array(patch_grid(pixel_values, self.config["vision_config"]["patch_size"]))
        names = [f"activation_{layer}" for layer in self.config["extract_layers"]]
        if self.config.get("refiner") is not None:
            names += ["pixel_features_0", "pixel_features_1"]
        for image in pixel_values:
            yield dict(zip(names, self.run("image_encoder", pixel_values=image[None]), strict=True), grid=grid)

    def encode_prompts(self, **rows: np.ndarray) -> list[np.ndarray]:
        """Texts or example images, R of either -> R vectors (D,)."""
        is_text = "input_ids" in rows
        if not is_text:
            name = "conditional_pixel_values"
            patch_grid(rows[name], self.config["vision_config"]["patch_size"], name)
        return list(self.run("prompt_encoder_text" if is_text else "prompt_encoder_image", **rows)[0])

    def mix(
        self,
        texts: Sequence[np.ndarray] | None,
        images: Sequence[np.ndarray] | None,
        text_to_prompt: np.ndarray | None,
        image_to_prompt: np.ndarray | None,
        weights: Sequence[float],
    ) -> np.ndarray:
        """As `mix_prompts`: the mean of each prompt's texts, and that of its images, mixed; -> (N, D)."""
        text, has_text = _means(texts, text_to_prompt, len(weights))
        image, has_image = _means(images, image_to_prompt, len(weights))
        weight = np.where(has_text & has_image, np.array(weights, dtype=np.float32), has_image.astype(np.float32))
        return weight[:, None] * image + (1 - weight[:, None]) * text

    def decode(self, features: dict[str, np.ndarray], vectors: np.ndarray) -> np.ndarray:
        """One image and (N, D) -> logits (N, H, W) float32."""
        rows, columns = features["grid"]
        at_once = max(1, _TOKENS_AT_ONCE // (1 + int(rows) * int(columns)))
        parts = [
            self.run("decoder", conditional_embeddings=vectors[start : start + at_once], **features)[0]
            for start in range(0, len(vectors), at_once)
        ]
        return np.concatenate(parts)


def _means(
    vectors: Sequence[np.ndarray] | None, owners: np.ndarray | None, prompts: int
) -> tuple[np.ndarray | float, np.ndarray]:
    """Vectors (R, D) and the prompt of each -> their means (N, D), and which of the N prompts have any."""
    if vectors is None:
        return 0.0, np.zeros(prompts, dtype=bool)
    owners = np.arange(prompts) if owners is None else owners
    counts = np.bincount(owners, minlength=prompts)
    sums = np.zeros((prompts, len(vectors[0])), dtype=np.float32)
    np.add.at(sums, owners, np.stack(list(vectors)))
    return sums / np.maximum(counts, 1)[:, None].astype(np.float32), counts > 0


def _best_device() -> str:
    return "cuda" if "CUDAExecutionProvider" in _installed_providers() else "cpu"


def _providers_for(device: str) -> list:
    """What onnxruntime calls a device, and the CPU for what that cannot do."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    provider = f"{kind.upper()}ExecutionProvider"
    if provider not in _installed_providers():
        raise ValueError(
            f"The device {device} cannot be used here: this onnxruntime has {', '.join(_installed_providers())}."
        )
    return [(provider, {"device_id": number or "0"}), "CPUExecutionProvider"]


def _installed_providers() -> list[str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("To run ONNX graphs, onnxruntime must be installed: pip install onnxruntime.") from error
    return onnxruntime.get_available_providers()
