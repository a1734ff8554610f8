"""Label Studio, pre-annotated by CLIPSeg: a machine-learning backend that asks each picture for the project's labels.

    $ pip install clipseg-hf git+https://github.com/HumanSignal/label-studio-ml-backend
    $ python examples/label_studio_backend.py --model CIDAS/clipseg-rd64-refined --port 9090

Then, in the project: Settings, Model, Connect Model, http://localhost:9090. Its labelling configuration needs an
`Image` with `BrushLabels` (answered by brush strokes) or `PolygonLabels` (by polygons). A label is asked for by its own
name, or by what its attribute `predicted_values` says, where it has one; that may combine prompts:

    <View>
      <Image name="image" value="$image"/>
      <BrushLabels name="label" toName="image">
        <Label value="Pet" predicted_values="a cat | a dog"/>
        <Label value="sunflower"/>
      </BrushLabels>
    </View>

Pictures that were uploaded to Label Studio are fetched from there: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY say how.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from functools import cache

# where label-studio-ml keeps what it knows of a project; it is read at import
os.environ.setdefault("MODEL_DIR", tempfile.mkdtemp(prefix="clipseg-label-studio-"))

from label_studio_ml.api import init_app
from label_studio_ml.model import LabelStudioMLBase
from label_studio_sdk.label_interface.control_tags import ControlTag

from clipseg_hf.inference import Prompt, Segmenter
from clipseg_hf.inference.labelling import labelled
from clipseg_hf.labels import label_studio_prediction
from clipseg_hf.processing.masks.operations import MaskOperations

OUTLINES = {"BrushLabels": "rle", "PolygonLabels": "polygons"}
SETTINGS = {"model": "CIDAS/clipseg-rd64-refined", "threshold": None, "min_area": 0.0005}


@cache
def load(model: str) -> Segmenter:
    return Segmenter.from_pretrained(model)


def prompts_of(tag: ControlTag) -> list[Prompt | str]:
    """What to ask for each label of a tag."""
    attributes = {label: info.attr for label, info in tag.labels_attrs.items()}
    return [attributes[label].get("predicted_values") or Prompt(label) for label in tag.labels]


class CLIPSegBackend(LabelStudioMLBase):
    """One is made for each request; they share the model."""

    def setup(self):
        self.set("model_version", f"clipseg-hf {SETTINGS['model']}")

    def predict(self, tasks: list[dict], context: dict | None = None, **kwargs) -> list[dict]:
        """A prediction for each task: a region for each connected part of what is found, with its score.

        Raises:
            ValueError: the project has no image with brushes or polygons.
        """
        from_name, to_name, value = self.get_first_tag_occurence(tuple(OUTLINES), "Image")
        tag = self.label_interface.get_control(from_name)
        segmenter = load(SETTINGS["model"])
        question = segmenter.ask(prompts_of(tag))
        clean = MaskOperations(min_area=SETTINGS["min_area"])
        predictions = []
        for task in tasks:
            file = self.get_local_path(task["data"][value], task_id=task.get("id"))
            [result] = segmenter(file, question, SETTINGS["threshold"])
            result = replace(result.clean(clean), labels=list(tag.labels))
            predictions.append(
                {"model_version": self.get("model_version")}
                | label_studio_prediction(
                    labelled(result, file).objects,
                    str(task.get("id", file)),
                    outlines=OUTLINES[tag.tag],
                    from_name=from_name,
                    to_name=to_name,
                )
            )
        return predictions


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=SETTINGS["model"], help="folder, name on the Hub, or emoji-tiny")
    parser.add_argument("--threshold", type=float, help="probability above which a pixel belongs to a mask")
    parser.add_argument(
        "--min-area", type=float, default=SETTINGS["min_area"], help="drop parts of this share of pixels"
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 answers other machines, too")
    parser.add_argument("--port", type=int, default=9090)
    options = parser.parse_args()
    SETTINGS.update(model=options.model, threshold=options.threshold, min_area=options.min_area)
    load(options.model)  # before the first request
    init_app(CLIPSegBackend).run(options.host, options.port)
