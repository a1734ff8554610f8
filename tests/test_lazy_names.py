"""Importing the package costs nothing, its names are there all the same, and transformers knows the model."""

import importlib
import json
import os
import pickle
import subprocess
import sys

import pytest

import clipseg_hf

ROOMS = ["data", "evaluation", "export", "hub", "inference", "modeling", "processing", "training"]
PACKAGES = ["clipseg_hf", *(f"clipseg_hf.{room}" for room in ROOMS)]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_are_there_and_no_others(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module))
    namespace = {}
    exec(f"from {package} import *", namespace)
    for name in module.__all__:
        assert namespace[name] is getattr(module, name) is vars(module)[name]
    with pytest.raises(AttributeError, match=rf"^module '{package}' has no attribute 'CLIPSek'$"):
        module.CLIPSek  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'CLIPSek'"):
        exec(f"from {package} import CLIPSek")


def test_pickle_and_reload():
    before = clipseg_hf.CLIPSegProcessor
    assert pickle.loads(pickle.dumps(before)) is before
    assert importlib.reload(clipseg_hf).CLIPSegProcessor is before
    assert clipseg_hf.modeling is importlib.import_module("clipseg_hf.modeling")


ORDERS = {
    "ours first": "import clipseg_hf, transformers",
    "transformers first": "import transformers, clipseg_hf",
    "the Auto class first": "from transformers import AutoModelForImageSegmentation; import clipseg_hf",
    "its module first": "import transformers.models.auto.modeling_auto, clipseg_hf",
    "the processor first": "from transformers import AutoProcessor; import clipseg_hf",
    "transformers' pipeline first": "from transformers import pipeline; import clipseg_hf",
    "stock's processor first": "from transformers import CLIPSegProcessor; import clipseg_hf",
    "ours twice": "import clipseg_hf; importlib.reload(clipseg_hf)",
    "ours twice, around transformers": "import clipseg_hf, transformers.models.auto.modeling_auto as auto\n"
    "importlib.reload(clipseg_hf); importlib.reload(auto)",
    "found before it is imported": "import clipseg_hf; importlib.util.find_spec('transformers.models.auto')\n"
    "importlib.util.find_spec('transformers.models.auto.modeling_auto')",
    "our model first": "from clipseg_hf import CLIPSegForImageSegmentation",
    "threads": "import clipseg_hf, concurrent.futures\n"
    "with concurrent.futures.ThreadPoolExecutor(12) as pool:\n"
    "    found = list(pool.map(lambda name: getattr(clipseg_hf, name), sorted(clipseg_hf.__all__)[:3] * 4))\n"
    "assert len(found) == 12 and len(set(found)) == 3",
}
SCRIPT = """
import importlib.util, json, os, sys
import scipy.optimize, transformers.modeling_utils  # take long
assert 'transformers.models.auto.modeling_auto' not in sys.modules

LOOK_UP = '''
from transformers import MODEL_FOR_IMAGE_SEGMENTATION_MAPPING, AutoModelForImageSegmentation, CLIPSegConfig
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name
early = "clipseg_hf.modeling" in sys.modules
mappings = [AutoModelForImageSegmentation._model_mapping, MODEL_FOR_IMAGE_SEGMENTATION_MAPPING]
right = [mapping[CLIPSegConfig] is sys.modules["clipseg_hf"].CLIPSegForImageSegmentation for mapping in mappings]
processors = [PROCESSOR_MAPPING[CLIPSegConfig], processor_class_from_name("CLIPSegProcessor")]
right += [processor is sys.modules["clipseg_hf"].CLIPSegProcessor for processor in processors]
from transformers.pipelines import check_task
task, entry, _ = check_task("prompted-image-segmentation")
right += [entry["pt"] == (AutoModelForImageSegmentation,), "clipseg_hf.hub.pipeline" not in sys.modules]
if order == "ours first":
    right += [entry["impl"] is sys.modules["clipseg_hf.hub.pipeline"].PromptedImageSegmentationPipeline]
os.write(1, (json.dumps([order, early, right]) + chr(10)).encode())  # at once, as others write, too
'''
children = []
for order, code in json.loads(sys.argv[1]).items():
    child = os.fork()
    if not child:
        exec(code + LOOK_UP, globals())
        os._exit(0)
    children.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, list]:
    """By each order of imports: whether the model was loaded before it was looked up, and whether it is ours."""
    command = [sys.executable, "-c", SCRIPT, json.dumps(ORDERS)]
    lines = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True
    ).stdout.splitlines()
    return {order: rest for order, *rest in map(json.loads, lines)}


@pytest.mark.parametrize("order", ORDERS)
def test_transformers_knows_model_processor_and_task(answers, order):
    early, right = answers[order]
    assert all(right)
    assert early == (order in ("our model first", "threads"))
