"""Models measured by their name, in Python and by `python -m clipseg_hf.evaluation`."""

import subprocess
import sys

import pytest

from clipseg_hf.evaluation import evaluate_model


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
