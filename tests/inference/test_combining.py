"""Prompts that combine: the arithmetic by hand, the laws of sets, the grammar both ways, and the masks of a model."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from typer.testing import CliRunner

from clipseg_hf.cli import app
from clipseg_hf.inference import Combination, Prompt, parse_prompt
from clipseg_hf.inference.combining import combine_logits, combine_presence
from clipseg_hf.inference.prompts import needs_quotes, write_prompt

A, B, C = Prompt("a"), Prompt("b"), Prompt("c")


def probabilities(prompt: Combination, *parts: float, thresholds: list[float] | None = None) -> float:
    """Of one pixel, by those of its leaves."""
    logits = [logit(np.array([[part]])) for part in parts]
    return expit(combine_logits(prompt, logits, thresholds or [0.5] * len(parts))).item()


@pytest.mark.parametrize(
    ("prompt", "parts", "expected"),
    [
        (A | B, (0.3, 0.8), 0.8),
        (A & B, (0.3, 0.8), 0.3),
        (A - B, (0.9, 0.8), 0.2),
        (A - B, (0.6, 0.1), 0.6),
        (A - B - C, (0.9, 0.3, 0.6), 0.4),
        (0.5 * A, (0.8,), 0.4),
        (2 * A, (0.3,), 0.6),
        (2 * A, (0.7,), 1.0),
        (A | B & C, (0.2, 0.9, 0.4), 0.4),
        (A | 0.5 * B, (0.3, 0.8), 0.4),
    ],
)
def test_the_arithmetic_by_hand(prompt, parts, expected):
    assert probabilities(prompt, *parts) == pytest.approx(expected, abs=2e-6)


def test_every_part_keeps_its_own_threshold():
    assert probabilities(A | B, 0.31, 0.59, thresholds=[0.3, 0.6]) > 0.5
    assert probabilities(A | B, 0.29, 0.59, thresholds=[0.3, 0.6]) < 0.5
    assert probabilities(A - B, 0.31, 0.59, thresholds=[0.3, 0.6]) > 0.5
    assert probabilities(A - B, 0.31, 0.61, thresholds=[0.3, 0.6]) < 0.5
    assert probabilities(A & B, 1.0, 0.5, thresholds=[0.0, 1.0]) < 0.5  # no threshold is too much


def test_presence_is_of_any_of_all_and_of_what_something_is_taken_from():
    assert combine_presence(A | B, [0.2, 0.7]) == 0.7
    assert combine_presence(A & B, [0.2, 0.7]) == 0.2
    assert combine_presence(A - B | C, [0.6, 0.9, 0.1]) == 0.6


pixels = st.floats(0.001, 0.999)


@given(pixels, pixels, pixels, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_the_laws_of_sets(a, b, c, t, u):
    """With any threshold for each part."""

    def found(prompt, *parts):
        values, bounds = {"a": a, "b": b, "c": c}, {"a": t, "b": u, "c": t}
        names = [leaf.text for leaf in prompt.leaves()]
        return probabilities(prompt, *(values[n] for n in names), thresholds=[bounds[n] for n in names])

    assert found(A | A) == pytest.approx(found(A & A))  # saying it twice changes nothing
    assert found(A - A) <= 0.5 + 1e-9  # nothing is left
    assert found(A | B) == found(B | A) and found(A & B) == found(B & A)
    assert found(A - B - C) == found(A - C - B) == found(A - (B | C))
    assert found(A & (B | C)) == found(A & B | A & C)
    inside_a, inside_b = a > t, b > u
    if abs(a - t) > 1e-6 and abs(b - u) > 1e-6:
        assert (found(A | B) > 0.5) == (inside_a or inside_b)
        assert (found(A & B) > 0.5) == (inside_a and inside_b)
        assert (found(A - B) > 0.5) == (inside_a and not inside_b)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a cat", Prompt("a cat")),
        ("cat | dog - collar", Prompt("cat") | Prompt("dog") - Prompt("collar")),
        ("(cat | dog) - collar", (Prompt("cat") | "dog") - "collar"),
        ("a & b | c", A & B | C),
        ("a & (b | c)", A & (B | C)),
        ("0.7 * sky", 0.7 * Prompt("sky")),
        ("a | .5 * (b - c)", A | 0.5 * (B - C)),
        ('"black & white cat" - "a (small) hat"', Prompt("black & white cat") - "a (small) hat"),
        ("a t-shirt|R&B singer", Prompt("a t-shirt") | "R&B singer"),
        ("a - b - c", (A - B) - C),
        ("a - (b - c)", A - (B - C)),
        ("2 cats", Prompt("2 cats")),
    ],
)
def test_strings_are_read(text, expected):
    assert parse_prompt(text) == expected


@pytest.mark.parametrize(
    ("text", "what", "place"),
    [
        ("cat | ", "a phrase is missing here", 6),
        ("cat | | dog", "a phrase is missing here", 6),
        ("- dog", "a phrase is missing here", 0),
        ("(cat | dog", "this parenthesis has no end", 0),
        ("cat | dog)", "this parenthesis has no beginning", 9),
        ("dog (small)", "a sign .* is missing before this; phrases with signs .* go in double quotes", 4),
        ('cat - "dog', "this quote has no end", 6),
        ('cat - ""', "there is nothing between these quotes", 7),
        ("0 * cat", "a weight is above 0, and finite", 0),
        ("cat | " + "9" * 400 + " * dog", "a weight is above 0, and finite", 6),
        ("(" * 3000 + "cat", "there are more than 50 parentheses or weights in one another", 50),
        ("2 * " * 3000 + "cat", "there are more than 50 parentheses or weights in one another", 200),
    ],
)
def test_errors_point_at_the_place(text, what, place):
    with pytest.raises(ValueError, match=f"A prompt cannot be read: {what}") as error:
        parse_prompt(text)
    line, pointer = str(error.value).splitlines()[1:]
    assert line.strip() == text.strip() and pointer.index("^") - 2 == place


words = st.text("ab-&|() .*0'", min_size=1, max_size=8).map(lambda text: " ".join(text.split())).filter(bool)
trees = st.recursive(
    words.map(Prompt),
    lambda inner: (
        st.tuples(inner, inner).map(lambda two: two[0] | two[1])
        | st.tuples(inner, inner).map(lambda two: two[0] & two[1])
        | st.tuples(inner, inner).map(lambda two: two[0] - two[1])
        | st.tuples(st.sampled_from([0.25, 2.0]), inner).map(lambda two: two[0] * two[1])
    ),
    max_leaves=6,
)


@given(trees)
def test_what_is_written_is_read_as_the_same(prompt):
    assert parse_prompt(write_prompt(prompt)) == prompt


@given(st.text('ab-&|() .*0"', max_size=10))
def test_whatever_is_written_is_read_or_refused_by_our_own_error(text):
    try:
        read = parse_prompt(text)
    except ValueError as error:
        assert "\n" in str(error) and needs_quotes(text)
    else:
        assert isinstance(read, Combination) or not read.text.strip() or read.text == text.strip() or '"' in text


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(TypeError, match=r"Prompts combine with prompts and texts, got a int beside '\|'"):
        A | 3
    with pytest.raises(TypeError, match="can't multiply"):
        A * "b"
    with pytest.raises(ValueError, match=r"A weight multiplies .* above 0, got -1"):
        -1 * A
    with pytest.raises(ValueError, match=r"or .* of one; got '\|' of 1"):
        Combination("|", (A,))


def test_masks_combine_as_sets_and_each_part_is_asked_once(segmenter, picture, example, monkeypatch):
    image, mask = example
    shown = Prompt(image=image, mask=mask)
    asked = []
    forward = segmenter.model.forward
    monkeypatch.setattr(
        segmenter.model,
        "forward",
        lambda *args, **kwargs: asked.append(len(kwargs["conditional_embeddings"])) or forward(*args, **kwargs),
    )
    result = segmenter(picture, ["cat", "dog", shown, "cat | dog", Prompt("cat") & shown, "cat - dog", "cat - cat"])[0]
    assert asked == [3]
    assert result.kinds == ["text", "text", "image", *["combined"] * 4]
    assert result.labels[3:] == ["cat | dog", "cat & example image", "cat - dog", "cat - cat"]
    assert result.thresholds[2:] == [0.45, 0.5, 0.5, 0.5, 0.5]
    # at the model's size, where they are combined
    bounds = logit(result.thresholds)[:, None, None]
    cat, dog, like, either, both, but, nothing = result.logits > bounds
    for found, expected in ((either, cat | dog), (both, cat & like), (but, cat & ~dog), (nothing, np.zeros_like(cat))):
        np.testing.assert_array_equal(found, expected)
    assert 0 < but.sum() < but.size and not result.masks[6].any()
    assert result.scores[6] == 0 and result.boxes[6] is None
    assert result.presence[3] == max(result.presence[:2])
    strict = segmenter(picture, "cat | dog", threshold=0.7)[0].masks[0]
    assert (strict <= result.masks[3]).all() and strict.sum() < result.masks[3].sum()


def test_a_combination_has_no_vector(segmenter):
    with pytest.raises(ValueError, match=r"'a \| b' combines prompts and has no vector of its own: embed its parts"):
        segmenter.embed(["a", A | B])


def test_the_command_line_reads_it_too(checkpoint, picture, tmp_path):
    picture.save(tmp_path / "one.png")
    arguments = ["segment", str(tmp_path / "one.png"), "--model", str(checkpoint), "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*arguments, "--prompt", "cat | dog - collar"])
    assert done.exit_code == 0, done.output
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")]
    assert record["prompts"][0]["prompt"] == "cat | dog - collar"
    assert record["prompts"][0]["kind"] == "combined"
    done = CliRunner().invoke(app, [*arguments, "--prompt", "cat |"])
    assert done.exit_code != 0 and "a phrase is missing here" in done.output


def test_combined_scores_are_of_the_scale_on_which_one_half_is_the_threshold(segmenter, picture):
    result = segmenter(picture, "cat | dog")[0]
    inside = result.probabilities(0)[result.masks[0]]
    assert inside.min() > 0.5 and result.scores[0] == pytest.approx(float(np.mean(inside)), abs=1e-4)
