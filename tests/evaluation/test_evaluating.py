"""Models measured by their name, in Python and by `python -m clipseg_hf.evaluation`."""

import subprocess
import sys

import pytest

from clipseg_hf.evaluation import BenchmarkOptions, evaluate_model


def test_data_that_is_not_there_is_said_before_a_model_is_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist[\s\S]*'referring' is run on PhraseCut"):
        evaluate_model(str(tmp_path / "no_model"), "referring", str(tmp_path / "nowhere"))


def test_the_module_has_the_commands_options_and_errors():
    command = [sys.executable, "-m", "clipseg_hf.evaluation", "--benchmark", "referral", "--data", "x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: Invalid value for '--benchmark': ")
    assert "'referral' is not one of 'referring', 'zero-shot', " in done.stderr
    assert done.stderr.endswith("See `python -m clipseg_hf.evaluation --help`.\n")


def test_what_cannot_be_reported_is_said_before_anything_is_measured(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(FileExistsError, match=r"out is a file; name a new folder\."):
        evaluate_model("emoji-tiny", "referring", str(tmp_path / "no_data"), tmp_path / "out")
    with pytest.raises(
        ValueError, match=r"Thresholds to report are 0\.02, 0\.04 .* got 0\.331, which 0\.34 is nearest"
    ):
        BenchmarkOptions(at=(0.3, 0.331))
