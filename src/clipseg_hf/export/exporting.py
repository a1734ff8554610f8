"""From a checkpoint to a folder for those without torch: what `clipseg-hf export onnx` does."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from clipseg_hf._output_files import new_folder
from clipseg_hf.inference.onnx_model import GRAPHS
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.model_names import find_model
from clipseg_hf.processing import CLIPSegProcessor

if TYPE_CHECKING:
    from clipseg_hf.export.agreement import Agreement


def export_onnx(
    model: str | Path,
    output_dir: str | Path,
    *,
    int8: bool = False,
    fp16: bool = False,
    echo: Callable[[str], None] = print,
) -> Path:
    """Write a model as ONNX graphs, with all that Transformers.js and `Segmenter` need to know of it.

    Args:
        model: folder or Hub name of a CLIPSeg checkpoint; see `find_model`.
        output_dir: a new folder. Gets `config.json`, the processor's files, `onnx/` and a card.
        int8, fp16: also write copies in 8 bits and in half precision, and measure how their masks agree with float32's.
        echo: takes each line of the report.

    Raises:
        ImportError: the exporter's packages are missing.
        FileExistsError: the folder is not empty, or a file.
        FileNotFoundError, ConnectionError, ValueError: see `find_model`.
    """
    check_exporter()
    with new_folder(Path(output_dir)) as output_dir:
        name = find_model(model)
        network = CLIPSegForImageSegmentation.from_pretrained(name, dtype=torch.float32)
        processor = CLIPSegProcessor.from_pretrained(name)

        from clipseg_hf.export.card import write_card

        processor.save_pretrained(output_dir)
        network.config.save_pretrained(output_dir)
        agreements = add_graphs(network, processor, output_dir, int8=int8, fp16=fp16, echo=echo)
        write_card(output_dir, Path(model).name if Path(model).is_dir() else str(model), agreements)
        return output_dir


def check_exporter() -> None:
    """Refuse to begin what cannot be ended.

    Raises:
        ImportError: the exporter's packages are missing.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(name)]:
        raise ImportError(f"To export, {', '.join(missing)} must be installed: pip install 'clipseg-hf[export]'.")


def add_graphs(
    network: CLIPSegForImageSegmentation,
    processor: CLIPSegProcessor,
    folder: Path,
    *,
    int8: bool,
    fp16: bool,
    echo: Callable[[str], None],
) -> "list[Agreement]":
    """Write `onnx/`, and what Transformers.js reads besides, into the folder of a checkpoint.

    Args:
        network: in float32.
        processor, int8, fp16, echo: see `export_onnx`.
        folder: with `config.json` and the processor's files.

    Returns:
        how the masks of each smaller copy agree with float32's.
    """
    from clipseg_hf.export.agreement import measure_agreement
    from clipseg_hf.export.graphs import make_graphs, write_graph
    from clipseg_hf.export.precisions import convert_graph

    # Transformers.js knows no processor_config.json
    pictures = json.loads(processor.image_processor.to_json_string())
    text = json.dumps(pictures, indent=2, sort_keys=True) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    precisions = [name for name, wanted in (("float16", fp16), ("int8", int8)) if wanted]
    (folder / GRAPHS).mkdir()
    for graph in make_graphs(network):
        written = write_graph(graph, folder / GRAPHS)
        for path in (written, *(convert_graph(written, precision) for precision in precisions)):
            echo(f"{path.relative_to(folder)}: {path.stat().st_size / 1e6:.1f} MB")
    agreements = measure_agreement(folder, precisions)
    for agreement in agreements:
        echo(agreement.describe())
    return agreements
