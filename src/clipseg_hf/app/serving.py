"""The page at work: model loaded, port opened, nothing fetched from anywhere else."""

import os
from collections.abc import Callable
from typing import Any

from clipseg_hf.app.limits import Limits
from clipseg_hf.inference import Segmenter

# The page may load from its own server alone, and say so to the browser: no font, no script, no count of visitors.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:"
)


def serve(
    model: str,
    *,
    host: str | None = None,
    port: int | None = None,
    backend: str = "torch",
    device: str | None = None,
    limits: Limits | None = None,
    wait: bool = True,
    echo: Callable[[str], None] = print,
) -> Any:
    """Load a model and open the page.

    Args:
        model: folder, name on the Hub, or "emoji-tiny".
        host: whom to listen to: "0.0.0.0" is everybody; None: GRADIO_SERVER_NAME, else this machine alone.
        port: None: GRADIO_SERVER_PORT, else the first free one from 7860.
        backend, device: of `Segmenter.from_pretrained`.
        limits: of requests.
        wait: until it is interrupted; else return at once.
        echo: takes the line that says where the page is.

    Returns:
        the started `gradio.Blocks`.

    Raises:
        ImportError: Gradio is missing.
        OSError: there is no such model, or the port is taken.
    """
    from clipseg_hf.app.asking import Asked, Desk
    from clipseg_hf.app.page import CSS, TEXTS, THEME, build_page
    from clipseg_hf.app.scenes import EXAMPLES

    desk = Desk(Segmenter.from_pretrained(model, backend=backend, device=device), limits)  # type: ignore[arg-type]
    desk.answer(Asked(*EXAMPLES[0]))  # so that the first visitor does not wait for the first answer
    page = build_page(desk)
    _, url, _ = page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        max_file_size=4 * desk.limits.file_bytes,  # up to there it is our own reader who says that it is too much
        i18n=TEXTS,
        theme=THEME,
        css=CSS,
        app_kwargs={"middleware": [_guard(5 * desk.limits.file_bytes)], "docs_url": None, "redoc_url": None},
    )
    echo(f"The page with {os.path.basename(str(model).rstrip('/'))} is at {url} (Ctrl+C ends it).")
    if wait:
        page.block_thread()
    return page


def _guard(most: int) -> Any:
    """Adds the policy to every answer, and hears no more than `most` bytes of a request: Gradio bounds files alone."""
    from starlette.middleware import Middleware

    class Guard:
        """ASGI, around Gradio's application."""

        def __init__(self, app: Any):
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            heard = 0

            async def receive_some() -> Any:
                nonlocal heard
                message = await receive()
                heard += len(message.get("body", b""))
                return message if heard <= most else {"type": "http.disconnect"}

            async def send_with_policy(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"content-security-policy", POLICY.encode()))
                await send(message)

            is_http = scope["type"] == "http"
            await self.app(scope, receive_some if is_http else receive, send_with_policy if is_http else send)

    return Middleware(Guard)
