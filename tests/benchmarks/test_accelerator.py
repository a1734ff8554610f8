"""What is prepared for a GPU runs on a CPU at toy size, so that it will run where it counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "accelerator.py"
QUICK = ["--phrases", "8", "--turns", "1", "--workers", "1", "--batches", "3"]


def run(*words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([sys.executable, SCRIPT, *words], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_all_parts_run_and_agree(tmp_path):
    output = tmp_path / "found.json"
    done = run("--toy", "--cpu", "--prompts", "1", "5", *QUICK, "--minutes", "60", "--output", str(output))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(output.read_text())
    assert [case["prompts"] for case in found["inference"]] == [1, 5] and found["left_out"] == []
    for case in found["inference"]:
        assert case["relative_error"]["ours"] < 1e-5 and case["relative_error"]["bf16"] < 0.05
        assert case["times_stock"]["ours"] == case["stock"]["seconds"] / case["ours"]["seconds"]
    losses = [way["loss"] for way in found["training"].values()]
    assert set(found["training"]) == {"prompts", "all", "ours", "stock"} and max(losses) - min(losses) < 1e-3
    assert found["loader"]["loader_phrases_per_second"] > 0 and found["ceilings"]["tower_share_of_peak"] > 0
    assert "| 5 |" in done.stdout and "Left out" not in done.stdout


@pytest.mark.slow
def test_what_there_is_no_time_for_is_told(tmp_path):
    output = tmp_path / "found.json"
    done = run("--toy", "--cpu", "--prompts", "1", *QUICK, "--minutes", "0", "--output", str(output))
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(output.read_text())
    assert found["training"] == {} and "loader" not in found
    assert "inference: 1 prompts, stock" in found["left_out"]
    assert "Left out for want of time: inference: 1 prompts, stock; " in done.stdout


@pytest.mark.slow
def test_without_a_gpu_it_says_how_to_try(tmp_path):
    done = run("--output", str(tmp_path / "found.json"))
    assert done.returncode == 2 and "there is no GPU here; --cpu --toy tries the script without one" in done.stderr
