"""From the name of a model to its report: what `clipseg-hf evaluate` does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from clipseg_hf._output_files import refuse_file
from clipseg_hf.evaluation.benchmarks.benchmark_data import require_data
from clipseg_hf.evaluation.metrics.prompt_results import Evaluation
from clipseg_hf.evaluation.protocols.benchmark_runner import BenchmarkOptions, run_benchmark
from clipseg_hf.evaluation.protocols.distributed import process_group
from clipseg_hf.evaluation.reports.report import markdown_table, write_report
from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.devices import find_device
from clipseg_hf.modeling.model_names import find_model
from clipseg_hf.processing import CLIPSegProcessor


def evaluate_model(
    model: str,
    benchmark: str,
    data: str,
    output_dir: str | Path | None = None,
    options: BenchmarkOptions | None = None,
    *,
    device: str | None = None,
    echo: Callable[[str], None] = print,
) -> Evaluation:
    """Measure a model by a benchmark, and report it. Processes that `accelerate launch` or torchrun started share the
    work, the first reports.

    Args:
        model: see `find_model`.
        benchmark, data, options: see `run_benchmark`.
        output_dir: for the report, see `write_report`; None: nothing is written.
        device: see `find_device`.
        echo: takes each line of the report.

    Raises:
        FileExistsError: output_dir is a file.
        FileNotFoundError, ConnectionError, ValueError: as `find_model`, `find_device` and `run_benchmark`.
    """
    options = options or BenchmarkOptions()
    options.check(benchmark)
    if output_dir is not None:
        refuse_file(output_dir)
    with process_group() as rank:
        if rank:
            options = replace(options, progress=False)
        require_data(data, benchmark)
        name, device = find_model(model), find_device(device)
        parts = (
            CLIPSegForImageSegmentation.from_pretrained(name).to(device).eval(),
            CLIPSegProcessor.from_pretrained(name),
        )
        evaluation = run_benchmark(benchmark, *parts, data, options)
        if rank == 0:
            echo(markdown_table(evaluation.summary).rstrip())
            if output_dir is not None:
                files = write_report(evaluation, output_dir, model=model, data=data, segmenter=parts)
                echo(f"\n{output_dir}: {', '.join(path.name for path in files.values())}")
    return evaluation
