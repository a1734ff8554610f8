"""What `accelerate launch` says has its effect, or is refused by name."""

import inspect
import re

import pytest
from accelerate import Accelerator
from accelerate.utils import launch

from clipseg_hf.training import train
from clipseg_hf.training.devices.launch_settings import launch_precision, launched_on_cpu, refuse_launch_settings

REFUSED = {
    "ACCELERATE_USE_DEEPSPEED": ("true", r"DeepSpeed \(ACCELERATE_USE_DEEPSPEED\) splits a model over devices"),
    "ACCELERATE_USE_FSDP": ("true", r"FSDP \(ACCELERATE_USE_FSDP\) .* Choose plain multi-GPU"),
    "ACCELERATE_USE_MEGATRON_LM": ("true", r"Megatron-LM \(ACCELERATE_USE_MEGATRON_LM\)"),
    "ACCELERATE_USE_PARALLELISM_CONFIG": ("true", r"a parallelism_config \(ACCELERATE_USE_PARALLELISM_CONFIG\)"),
    "ACCELERATE_DOWNCAST_BF16": ("true", "ACCELERATE_DOWNCAST_BF16 is set, but TPUs are not trained on here"),
    "XLA_USE_BF16": ("1", "XLA_USE_BF16 is set, but TPUs"),
    "XLA_DOWNCAST_BF16": ("1", "XLA_DOWNCAST_BF16 is set, but TPUs"),
    "ACCELERATE_IN_TPU_POD": ("1", "ACCELERATE_IN_TPU_POD is set, but TPUs"),
    "ACCELERATE_DYNAMO_BACKEND": ("INDUCTOR", "set it to no, and torch_compile: true"),
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("4", "is 4, but the recipe's gradient_accumulation_steps is 2"),
    "ACCELERATE_GRADIENT_CLIPPING": ("0.5", r"is 0\.5, but the recipe's max_grad_norm is 1\.0"),
}
FOLLOWED = {"ACCELERATE_USE_CPU", "ACCELERATE_MIXED_PRECISION", "ACCELERATE_DEBUG_MODE", "ACCELERATE_CPU_AFFINITY"}
FOLLOWED |= {"ACCELERATE_USE_IPEX"}  # of accelerate before 1.11; by Accelerate itself, where that is installed
OF_REFUSED = ("ACCELERATE_DEEPSPEED_", "ACCELERATE_CONFIG_DS_", "ACCELERATE_DYNAMO_", "ACCELERATE_FP8_")
FOR_FORKS = {"ACCELERATE_DEBUG_RDV_FILE"}  # notebook_launcher's own
SAGEMAKER = {"ACCELERATE_USE_SAGEMAKER", "ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE"}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_had_is_refused_by_name(name, monkeypatch):
    value, message = REFUSED[name]
    for harmless in ("false", "no", ""):
        monkeypatch.setenv(name, harmless)
        refuse_launch_settings(2, 1.0)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        refuse_launch_settings(2, 1.0)


def test_every_variable_that_accelerate_sets_is_known():
    names = set(re.findall(r"ACCELERATE_[A-Z0-9_]*[A-Z0-9]", inspect.getsource(launch)))
    assert "ACCELERATE_GRADIENT_CLIPPING" in names
    unknown = {name for name in names if not name.startswith(OF_REFUSED)}
    assert unknown - REFUSED.keys() - FOLLOWED - FOR_FORKS - SAGEMAKER == set()


def test_what_says_the_same_as_the_recipe_passes(monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    monkeypatch.setenv("ACCELERATE_GRADIENT_CLIPPING", "1")
    refuse_launch_settings(2, 1.0)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")  # accelerate's default
    refuse_launch_settings(2, 1.0)
    with pytest.raises(ValueError, match="is 1, but the recipe's max_grad_norm is 5"):
        refuse_launch_settings(2, 5.0)


def test_sagemakers_parallelism_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_SAGEMAKER", "true")
    refuse_launch_settings()
    monkeypatch.setenv("ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE", "MODEL_PARALLEL")
    with pytest.raises(ValueError, match=r"SageMaker's MODEL_PARALLEL .*start one process for each device"):
        refuse_launch_settings()


def test_precision(monkeypatch):
    assert launch_precision("auto") == "auto"
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert [launch_precision(name) for name in ("auto", "bf16", "no")] == ["no", "bf16", "no"]
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert [launch_precision(name) for name in ("auto", "fp16")] == ["fp16", "fp16"]
    with pytest.raises(ValueError, match=r"is fp16, but the recipe's mixed_precision is no: set both alike"):
        launch_precision("no")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp8")
    with pytest.raises(ValueError, match=r"is fp8; a decoder this small .*and mixed_precision in the recipe"):
        launch_precision("auto")


def test_the_cpu(monkeypatch):
    assert not launched_on_cpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert launched_on_cpu()
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cpu:0")
    assert launched_on_cpu()


def test_gradients_are_not_divided_a_second_time(make_args, rows, monkeypatch):
    """Whatever accumulates in this process besides: the environment, or an Accelerator of the user's."""
    alone = train(make_args(output_dir=make_args().output_dir + "-1", gradient_accumulation_steps=2), train_rows=rows)
    Accelerator(cpu=True, gradient_accumulation_steps=4).sync_gradients = False
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    again = train(make_args(gradient_accumulation_steps=2), train_rows=rows)
    expected = alone.model.decoder.state_dict()
    assert all(tensor.equal(expected[name]) for name, tensor in again.model.decoder.state_dict().items())
    with pytest.raises(ValueError, match="ACCELERATE_GRADIENT_ACCUMULATION_STEPS is 2, but the recipe's"):
        train(make_args(gradient_accumulation_steps=3), train_rows=rows)
