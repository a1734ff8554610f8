"""Configurations: what is refused, and the way from CLIP's to CLIPSeg's and back."""

import pytest
from transformers import CLIPConfig, CLIPSegConfig

from clipseg_hf.modeling import CLIPSegForImageSegmentation
from clipseg_hf.modeling.configuration import check_config, clip_config_of, clipseg_config_from, get_field


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"extract_layers": [0, 5]}, r"extract_layers=\[0, 5\] must name .* from 0 to 4 .*5 layers"),
        ({"extract_layers": [-1]}, r"extract_layers=\[-1\] must name"),
        ({"extract_layers": []}, r"extract_layers=\[\] must name at least one layer"),
        (
            {"conditional_layer": 3},
            r"conditional_layer=3 would never be reached: the decoder has 3 steps .* from 0 to 2",
        ),
        ({"conditional_layer": -1}, "conditional_layer=-1 would never be reached"),
        *(
            (
                {"conditional_layer": 1, "conditional_layers": steps},
                r"conditional_layers=.* must be None or name steps .* 0 to 2, conditional_layer=1 among .*\[0, 1, 2\]",
            )
            for steps in ([], [0, 2], [1, 3], [-1, 1], [2, 1], [1, 1], 1, "all", [1.0, 2.0], [True], [[1]])
        ),
        ({"reduce_dim": 18}, "reduce_dim=18 is not a multiple of decoder_num_attention_heads=4"),
        ({"decoder_dropout": 1.0}, "decoder_dropout=1.0 must be at least 0 and below 1"),
        *(
            ({"image_prompt_weight": weight}, r"image_prompt_weight=.* must be in \[0, 1\]: 0 is the text alone")
            for weight in (-0.1, 1.5, float("nan"), True, "half", [0.5])
        ),
        ({"loss_type": "iou"}, 'loss_type="iou" is unknown, choose one of bce, bce_dice, dice, focal'),
        (
            {"use_complex_transposed_convolution": True, "vision_config": {"patch_size": 8}},
            "needs a vision tower of patch size 16, this one has 8: use the simple readout",
        ),
    ],
)
def test_settings_that_could_have_no_effect_are_refused(tiny, fields, message):
    with pytest.raises(ValueError, match=message):
        CLIPSegForImageSegmentation(tiny.config(**fields))


def test_optional_fields_stand_for_stock_where_a_checkpoint_lacks_them(tiny):
    config = tiny.config()
    assert get_field(config, "decoder_dropout") == 0
    assert get_field(config, "loss_type") == "bce"
    assert get_field(config, "image_prompt_weight") == 0.5


def test_a_clip_config_survives_the_way_there_and_back():
    clip_config = CLIPConfig(
        text_config={"hidden_size": 64, "num_attention_heads": 4, "hidden_act": "gelu", "eos_token_id": 2},
        vision_config={"patch_size": 14, "layer_norm_eps": 1e-6, "image_size": 336},
        projection_dim=48,
        logit_scale_init_value=1.5,
    )
    config = clipseg_config_from(clip_config, reduce_dim=32)
    assert config.text_config.eos_token_id == 2
    again = clip_config_of(config)
    for tower in ("text_config", "vision_config"):
        before, after = getattr(clip_config, tower).to_dict(), getattr(again, tower).to_dict()
        assert after.pop("projection_dim") == 48
        before.pop("projection_dim")
        assert after == before
    assert (again.projection_dim, again.logit_scale_init_value) == (48, 1.5)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"txt": 0.3}, "mask_thresholds has no txt; there are text, image, mixed, presence"),
        ({"text": 3}, r"mask threshold for text is a number in \[0, 1\], got 3"),
        (0.3, "mask_thresholds are numbers for some of text"),
    ],
)
def test_mask_thresholds_are_checked(thresholds, message):
    config = CLIPSegConfig(mask_thresholds=thresholds)
    with pytest.raises(ValueError, match=message):
        check_config(config)
