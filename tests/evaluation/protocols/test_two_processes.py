"""Two real processes give exactly the numbers of one: this one, and a second that runs the functions below."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from clipseg_hf.assets import EMOJI_SCENES

HERE = Path(__file__).parents[1]  # where conftest is


def share_of_the_metric(rank: int, folder: str):
    from clipseg_hf.evaluation.metrics.segmentation_metric.segmentation_metric import SegmentationMetric

    generator = torch.Generator().manual_seed(0)
    scores, truth = torch.rand(9, 8, 8, generator=generator), torch.rand(9, 8, 8, generator=generator) > 0.5
    if rank < 0:  # one process for all
        return SegmentationMetric(cache_dir=folder).compute(predictions=scores, references=truth)
    metric = SegmentationMetric(num_process=2, process_id=rank, experiment_id="shared", cache_dir=folder, timeout=250)
    return metric.compute(predictions=scores[rank::2], references=truth[rank::2])


def share_of_the_protocol(model, processor, rows):
    from clipseg_hf.evaluation import ReferringSettings, current_shard, evaluate_referring, merge_processes
    from clipseg_hf.evaluation.protocols import distributed

    settings = ReferringSettings(batch_size=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distributed, "BLOCK_BYTES", 1000)  # so that results go in many blocks
        return merge_processes(evaluate_referring(model, processor, rows, settings, shard=current_shard()))


def join(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)


def test_two_processes_are_one(color_model, color_processor, color_rows, tmp_path, monkeypatch):
    from clipseg_hf.evaluation import summarize

    alone, metric_alone = (
        share_of_the_protocol(color_model, color_processor, color_rows),
        share_of_the_metric(-1, str(tmp_path / "alone")),
    )
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    second = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path)], env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    )
    try:
        assert share_of_the_metric(0, str(tmp_path / "both")) == metric_alone
        join(0, str(tmp_path))
        sent, broadcast = [], dist.broadcast
        monkeypatch.setattr(dist, "broadcast", lambda block, source: (sent.append(block), broadcast(block, source)))
        together = share_of_the_protocol(color_model, color_processor, color_rows)
        assert len(sent) > 20 and {block.dtype for block in sent} == {torch.uint8}
        assert max(block.numel() for block in sent) == 1000
        assert summarize(together) == summarize(alone)
        for kind, result in together.items():
            assert result.samples == alone[kind].samples
        assert second.wait(timeout=200) == 0
    finally:
        second.kill()
        if dist.is_initialized():
            dist.destroy_process_group()


def test_the_program_by_two_processes_writes_the_report_of_one(tmp_path, monkeypatch):
    """As torchrun and `accelerate launch` start them: this process is the first, the second is the program itself."""
    from clipseg_hf.evaluation import BenchmarkOptions, evaluate_model

    options, said = BenchmarkOptions(limit=6, batch_size=2, prompts=("mix",)), []

    def report(name: str) -> dict[str, bytes]:
        out = tmp_path / name
        evaluate_model("emoji-tiny", "referring", EMOJI_SCENES, out, options, device="cpu", echo=said.append)
        return {path.name: path.read_bytes() for path in out.iterdir()}

    alone = report("one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    flags = ("--limit", "6", "--batch-size", "2", "--prompt", "mix", "--device", "cpu", "-o", str(tmp_path / "second"))
    command = ("-m", "clipseg_hf.evaluation", "--benchmark", "referring", "--data", EMOJI_SCENES, *flags)
    second = subprocess.Popen(
        [sys.executable, *command, "--model", "emoji-tiny"],
        env=os.environ | meeting | {"RANK": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for name, value in (meeting | {"RANK": "0"}).items():
            monkeypatch.setenv(name, value)
        assert report("two") == alone
        assert (second.communicate(timeout=200)[0], second.returncode) == ("", 0)
    finally:
        second.kill()
    assert not (tmp_path / "second").exists()
    assert said[0] == said[2] and said[0].count("| mix | all |") == 1  # one of them speaks


if __name__ == "__main__":  # the second process
    import conftest

    folder = sys.argv[1]
    assert share_of_the_metric(1, f"{folder}/both") is None
    join(1, folder)
    share_of_the_protocol(conftest.ColorModel(), conftest.ColorProcessor(), conftest.make_color_rows())
    dist.destroy_process_group()
