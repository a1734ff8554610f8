"""Reports on cards: what is told of them, and by how much a training helped."""

import json

import pytest
from huggingface_hub import parse_eval_result_entries

from clipseg_hf.hub.cards.measured import Report, before_and_after, eval_entries

from hub.conftest import write_report  # isort: skip


@pytest.fixture
def reports(tmp_path):
    return [Report.read(write_report(tmp_path / name, miou)) for name, miou in (("before", 0.4), ("after", 0.7))]


def test_before_and_after_by_hand(reports):
    before, after = reports
    table = before_and_after([after], [before]).splitlines()
    # both images gain 0.3, so every resample does
    assert table[2:] == ["| referring on bolts | text | mIoU @0.5 | 2 | 40.0 | 70.0 | +30.0 | +30.0 ... +30.0 |"]
    assert before_and_after([after], []) == ""


def test_reports_of_other_data_are_not_compared(reports, tmp_path):
    other = Report.read(write_report(tmp_path / "other", 0.2, data="nuts", fingerprint="00"))
    with pytest.raises(ValueError, match="tells of referring on nuts before the training, but what was measured after"):
        before_and_after([reports[1]], [other])


def test_the_hubs_file_of_results(reports):
    entries = eval_entries(reports[1:], "me/bolts-data")
    notes = "mIoU @0.5 in percent, text prompts, 2 samples, by clipseg-hf's referring"
    dataset = {"id": "me/bolts-data", "task_id": "referring_text"}
    assert entries == [{"dataset": dataset, "value": 70.0, "notes": notes}]
    assert parse_eval_result_entries(entries)[0].task_id == "referring_text"


def test_no_phrase_picture_or_path_goes_along(reports, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    reports[1].write(out)
    assert {path.name for path in out.iterdir()} == {"referring-bolts.json", "referring-bolts-curves.png"}
    content = json.loads((out / "referring-bolts.json").read_text())
    assert content["model"].endswith("after/final") and "/" not in content["data"]["name"]
    assert "curves" not in content and str(tmp_path) not in json.dumps(content)


def test_what_an_evaluation_wrote_is_wanted(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"report\.json is missing: a report is the folder that `clipseg-hf eva"
    ):
        Report.read(tmp_path)


def test_the_protocol_is_told(reports):
    assert reports[0].protocol == 'templates ["a photo of a {}."], seed 0; clipseg-hf 0.1.0, torch 2.13.0'
    assert [result.metric_type for result in reports[0].eval_results] == ["miou_0_5", "presence_auroc"]
