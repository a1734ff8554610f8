"""The layout, by Gradio: what stands where, and what asks for what."""

import os
from pathlib import Path
from typing import Any

from clipseg_hf.app.asking import Asked, Desk
from clipseg_hf.app.brush import brush_script, read_brushed
from clipseg_hf.app.scenes import EXAMPLES
from clipseg_hf.app.showing import (
    Files,
    complaint,
    legend,
    show_cutouts,
    show_heat_maps,
    show_label_map,
    show_overlay,
)
from clipseg_hf.app.words import WORDS, PageError, language_of
from clipseg_hf.inference import MaskOperations

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported
try:
    import gradio as gr
except ImportError as error:
    raise ImportError("The page is laid out by Gradio: pip install 'clipseg-hf[app]'.") from error

TEXTS = gr.I18n(**WORDS)
CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans KR", "sans-serif"]  # the visitor's own, none fetched
THEME = gr.themes.Default(primary_hue="indigo", font=FONTS, font_mono=["ui-monospace", "monospace"])
_CLICK = "() => setTimeout(() => document.querySelector('#{0}, #{0} a, #{0} button')?.click(), 150)"
_WIDTHS = {"min_area": 2000, "fill_holes": 2000, "erode": 20, "dilate": 20, "feather": 20}


class Picture(gr.Image):
    """An upload as the file that came: our own reader bounds it, turns it upright and says what is wrong with it."""

    def preprocess(self, payload: Any) -> str | None:
        return None if payload is None else payload.path

    def get_block_name(self) -> str:
        return "image"


def build_page(desk: Desk) -> gr.Blocks:
    """The page, with a desk behind it; not yet started."""
    files = Files()

    def asked(picture, text, threshold, example, mix, guided_filter, *sizes, language: str) -> Asked:
        return Asked(
            picture,
            text or "",
            *read_brushed(example),
            mix,
            threshold,
            MaskOperations(**dict(zip(_WIDTHS, sizes, strict=True))),
            guided_filter,
            WORDS[language]["like_example"],
        )

    def answer(request: gr.Request, *given):
        language = _language(request)
        try:
            found = desk.answer(asked(*given, language=language))
        except PageError as error:
            # while a line is being written it is often unreadable: what was found before stays
            rest = gr.skip() if error.key == "unreadable_prompt" else None
            return [complaint(error.say(language)), *[rest] * 4]
        return [
            legend(found, language, desk.reduced_from(given[0])),
            show_overlay(found),
            show_heat_maps(found),
            show_label_map(found),
            show_cutouts(found),
        ]

    def save(kind: str):
        def write(request: gr.Request, *given):
            language = _language(request)
            try:
                found = desk.answer(asked(*given, language=language))
            except PageError as error:
                raise gr.Error(error.say(language), print_exception=False) from error
            return files.write(found, kind, Path(given[0]).stem)

        return write

    with gr.Blocks(title="CLIPSeg", analytics_enabled=False, delete_cache=(3600, 3 * 3600)) as page:
        gr.Markdown(TEXTS("title"), elem_id="title")
        gr.Markdown(TEXTS("intro"), elem_id="intro")
        with gr.Row():
            with gr.Column(min_width=300):
                picture = Picture(
                    EXAMPLES[0][0],
                    label=TEXTS("picture"),
                    sources=["upload", "clipboard"],
                    height=280,
                    elem_id="picture",
                )
                prompts = gr.Textbox(
                    EXAMPLES[0][1],
                    label=TEXTS("prompts"),
                    info=TEXTS("prompts_info"),
                    placeholder=TEXTS("prompts_hint"),
                    lines=3,
                    max_lines=desk.limits.prompts,
                    elem_id="prompts",
                )
                threshold = gr.Slider(
                    0, 0.95, 0, step=0.01, label=TEXTS("threshold"), info=TEXTS("threshold_info"), elem_id="threshold"
                )
                with gr.Accordion(TEXTS("by_example"), open=False, elem_id="by-example"):
                    gr.Markdown(TEXTS("example_info"))
                    example = gr.HTML(
                        html_template="<div></div>",
                        js_on_load=brush_script(),
                        elem_id="example",
                    )
                    own_mix = desk.segmenter.image_prompt_weight
                    mix = gr.Slider(0, 1, own_mix, step=0.05, label=TEXTS("mix"), info=TEXTS("mix_info"), elem_id="mix")
                with gr.Accordion(TEXTS("operations"), open=False, elem_id="operations"):
                    edges = gr.Checkbox(
                        label=TEXTS("guided_filter"), info=TEXTS("guided_filter_info"), elem_id="guided-filter"
                    )
                    sizes = [
                        gr.Slider(0, most, 0, step=1, label=TEXTS(name), elem_id=name.replace("_", "-"))
                        for name, most in _WIDTHS.items()
                    ]
            with gr.Column(min_width=300, scale=2):
                with gr.Tabs():
                    with gr.Tab(TEXTS("overlay")):
                        overlay = _shown("overlay")
                    with gr.Tab(TEXTS("heat_maps")):
                        heat_maps = gr.Gallery(show_label=False, columns=2, format="png", elem_id="heat-maps")
                    with gr.Tab(TEXTS("label_map")):
                        label_map = _shown("label-map")
                    with gr.Tab(TEXTS("cutouts")):
                        cutouts = gr.Gallery(show_label=False, columns=3, format="png", elem_id="cutouts")
                status = gr.HTML(elem_id="status", html_template='<div role="status" aria-live="polite">${value}</div>')
                with gr.Row():
                    saved = {
                        kind: gr.Button(TEXTS(f"save_{kind}"), size="sm", min_width=120, elem_id=f"save-{kind}")
                        for kind in ("overlay", "masks", "json")
                    }
                taken = gr.DownloadButton(visible="hidden", elem_id="taken")
        gr.Markdown(TEXTS("scenes"))
        scenes = gr.Gallery(
            EXAMPLES,
            show_label=False,
            columns=len(EXAMPLES),
            height="auto",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="scenes",
        )

        given = [picture, prompts, threshold, example, mix, edges, *sizes]
        gr.on(
            [page.load, *(part.change for part in given)],
            answer,
            given,
            [status, overlay, heat_maps, label_map, cutouts],
            trigger_mode="always_last",  # while one is on its way only the newest waits: a slider does not pile up
            show_progress="hidden",
            concurrency_id="model",
            api_visibility="private",
        )
        scenes.select(_scene, None, [picture, prompts], show_progress="hidden", api_visibility="private")
        for kind, button in saved.items():
            button.click(save(kind), given, taken, concurrency_id="model", api_visibility="private").success(
                js=_CLICK.format("taken")
            )
    return page.queue(max_size=desk.limits.queue, default_concurrency_limit=1)


def _shown(name: str) -> gr.Image:
    return gr.Image(show_label=False, interactive=False, format="png", buttons=["fullscreen"], elem_id=name)


def _scene(event: gr.SelectData) -> list[str]:
    return EXAMPLES[event.index]


def _language(request: gr.Request) -> str:
    return language_of(request.headers.get("accept-language"))
