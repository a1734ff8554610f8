"""What an Inference Endpoint runs: an image in, the masks of texts out.

    curl "$URL" -H "Content-Type: image/jpeg" --data-binary @street.jpg
    curl "$URL" -H "Content-Type: application/json" -d '{"inputs": "<base64>", "parameters": {"prompts": ["a dog"]}}'

`inputs` is an image: the body itself, or base64 (also as data URL) in JSON. `parameters`, all of them optional:

- `prompts`: a text or a list; left out, the names in the checkpoint's `id2label`;
- `threshold`: probability above which a pixel belongs to a mask, one or one for each prompt; `mask_threshold`, as
  huggingface_hub's `InferenceClient` calls it, is the same;
- `subtask`: "prompted", or "semantic" for masks that do not overlap;
- `output_format`: "png" (base64, mode "L", 0 or 255), "rle" (COCO's, as run lengths) or "polygons" (COCO's);
- with clipseg-hf installed: `fill_holes`, `min_area`, `erode`, `dilate`, `feather` (numbers), `invert`, `guided_filter`
  for borders that follow the picture's edges, and `objects` for an entry for each connected part; prompts that combine
  ("cat | dog"), and polygons.

The answer is a list of `{"label", "score", "mask", "presence", "box"}`; where the request cannot be answered, an
exception that says why, which the inference toolkit sends as `{"error": "..."}` with the status 400.

The environment sets the limits: `CLIPSEG_MAX_BYTES`, `CLIPSEG_MAX_PIXELS`, `CLIPSEG_MAX_PROMPTS`. With
`CLIPSEG_ALLOW_URLS=1`, `inputs` may be a http(s) URL of a public address.

With the package clipseg-hf installed it is used; else custom_pipeline.py beside this file is.
"""

import base64
import http.client
import io
import ipaddress
import logging
import os
import socket
import time
import urllib.error
import urllib.request

import numpy as np
from PIL import Image

MAX_BYTES = int(os.environ.get("CLIPSEG_MAX_BYTES", 20_000_000))
MAX_PIXELS = int(os.environ.get("CLIPSEG_MAX_PIXELS", 16_000_000))
MAX_PROMPTS = int(os.environ.get("CLIPSEG_MAX_PROMPTS", 50))
MAX_CHARACTERS = 1000  # of a prompt; CLIP reads no more than 77 tokens
ALLOW_URLS = os.environ.get("CLIPSEG_ALLOW_URLS") == "1"
SECONDS = 10  # for a download
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "TIFF")  # Pillow's others start programs, or are rarely photos
PARAMETERS = ("prompts", "threshold", "mask_threshold", "subtask", "output_format")
SIZES, SWITCHES = ("fill_holes", "min_area", "erode", "dilate", "feather"), ("invert", "objects", "guided_filter")
FULL_ONLY = SIZES + SWITCHES  # what clipseg-hf alone does

logger = logging.getLogger(__name__)


class EndpointHandler:
    """Loads the checkpoint in `path` once, then answers requests, from several threads if need be."""

    def __init__(self, path=""):
        try:
            from clipseg_hf import pipeline
        except ImportError:
            from transformers import pipeline

            self.segment, self.refused = pipeline("image-segmentation", model=path, trust_remote_code=True), FULL_ONLY
        else:
            self.refused = ()
            self.segment = pipeline("prompted-image-segmentation", model=path)

    def __call__(self, data):
        try:
            return self._answer(data)
        except ValueError as error:  # the request's fault; no traceback, no chain
            raise ValueError(str(error)) from None
        except Exception:
            logger.exception("A request could not be answered.")
            raise RuntimeError("The request could not be answered; the endpoint's log says why.") from None

    def _answer(self, data):
        if not isinstance(data, dict) or "inputs" not in data:
            raise ValueError("The body is an image, or JSON with 'inputs' and perhaps 'parameters'.")
        options = read_parameters(data.get("parameters"))
        for name in self.refused:
            if name in options:
                raise ValueError(f"{name} needs clipseg-hf in the endpoint's requirements.txt.")
        mask_format = options.pop("output_format", "png")
        found = self.segment(read_image(data["inputs"]), **options)
        return [entry | {"mask": MASKS[mask_format](entry["mask"])} for entry in found]


def read_parameters(given):
    """`parameters` of a request, checked -> what the pipeline takes, and `output_format`."""
    given = {} if given is None else given
    if not isinstance(given, dict):
        raise ValueError(f"parameters is an object, got {type(given).__name__}.")
    known = PARAMETERS + FULL_ONLY
    unknown = [str(name) for name in given if name not in known]
    if unknown:
        raise ValueError(f"parameters are {', '.join(known)}; got {', '.join(unknown)[:200]}.")
    options = {name: value for name, value in given.items() if value is not None}
    if isinstance(options.get("prompts"), str):
        options["prompts"] = [options["prompts"]]
    prompts = options.get("prompts", [])
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError("prompts is a text or a list of texts.")
    if len(prompts) > MAX_PROMPTS or any(len(prompt) > MAX_CHARACTERS for prompt in prompts):
        raise ValueError(f"At most {MAX_PROMPTS} prompts of {MAX_CHARACTERS} characters, got {len(prompts)}.")
    if "mask_threshold" in options:
        if "threshold" in options:
            raise ValueError("threshold and mask_threshold are the same: give one of them.")
        options["threshold"] = options.pop("mask_threshold")
    if "threshold" in options:
        options["threshold"] = _numbers(options["threshold"])
    for name in options.keys() & set(SIZES):
        options[name] = _number(name, options[name])
    for name in options.keys() & set(SWITCHES):
        options[name] = _switch(name, options[name])
    if options.get("output_format", "png") not in tuple(MASKS):
        raise ValueError(f"output_format is one of {', '.join(MASKS)}; got {str(options['output_format'])[:50]!r}.")
    return options


def _numbers(value):
    """A number, or a list of them; as text, too, as in the query of an address."""
    try:
        return [float(one) for one in value] if isinstance(value, list) else float(value)
    except (TypeError, ValueError):
        raise ValueError(
            f"threshold is a number, or a list with one for each prompt; got {str(value)[:50]!r}."
        ) from None


def _number(name, value):
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is a number, got {str(value)[:50]!r}.") from None


def _switch(name, value):
    """True or false; as a number or text, too, as in the query of an address."""
    text = str(value).lower()
    if text not in ("true", "false", "1", "0"):
        raise ValueError(f"{name} is true or false, got {str(value)[:50]!r}.")
    return text in ("true", "1")


def read_image(given):
    """What a request sends -> a PIL image within the limits."""
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        if not ALLOW_URLS:
            raise ValueError("This endpoint fetches no URLs (CLIPSEG_ALLOW_URLS=1 lets it): send the image itself.")
        given = download(given)
    elif isinstance(given, str):
        given = _from_base64(given.partition(",")[2] if given.startswith("data:") else given)
    image = given
    if isinstance(given, bytes):
        _check_bytes(len(given))
        try:
            image = Image.open(io.BytesIO(given), formats=FORMATS)
        except Image.DecompressionBombError:
            raise ValueError(f"The image has too many pixels; at most {MAX_PIXELS}.") from None
        except Exception:  # Pillow's readers fail in many ways
            raise ValueError(f"inputs is no image that can be read; expected one of {', '.join(FORMATS)}.") from None
    if not isinstance(image, Image.Image):
        raise ValueError(f"inputs is an image, or its base64; got {type(given).__name__}.")
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"The image has {image.width} x {image.height} pixels; at most {MAX_PIXELS} of them.")
    try:
        image.load()
    except Exception:
        raise ValueError("The image is damaged or cut off.") from None
    return image


def _from_base64(text):
    _check_bytes(len(text) * 3 // 4 - 2)  # the padding stands for up to two bytes that are not there
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        raise ValueError("inputs is a text, but not the base64 of an image.") from None


def _check_bytes(size):
    if size > MAX_BYTES:
        raise ValueError(f"The image has more than {MAX_BYTES} bytes.")


def download(url):
    """The bytes at a http(s) URL, from public addresses alone, wherever it redirects to."""
    opener = urllib.request.OpenerDirector()  # with these handlers only: no files, no FTP, no proxy of ours
    for handler in (_Http(), _Https(), urllib.request.HTTPRedirectHandler(), urllib.request.HTTPErrorProcessor()):
        opener.add_handler(handler)
    opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
    opener.add_handler(urllib.request.UnknownHandler())
    end, data = time.monotonic() + SECONDS, b""
    try:
        with opener.open(url, timeout=SECONDS) as answer:
            while part := answer.read1(1 << 16):
                data += part
                _check_bytes(len(data))
                if time.monotonic() > end:
                    raise ValueError(f"The URL took more than {SECONDS} seconds.")
    except (OSError, http.client.HTTPException) as error:
        refused = getattr(error, "reason", error)
        reason = str(refused) if isinstance(refused, _NotPublicError) else "it did not answer with a file"
        raise ValueError(f"The URL cannot be fetched: {reason}.") from None
    return data


class _NotPublicError(OSError):
    """An address that an endpoint has no business with."""


def is_public(address):
    """Whether an IP address is one of the internet: not private, loopback, link-local, multicast or reserved."""
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip.is_global and not ip.is_multicast


def _connect(address, timeout=None, source_address=None):
    """Resolve, check, and connect to what was checked, so that a second answer of the DNS changes nothing."""
    places = [place[0] for *_, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM)]
    if not all(is_public(place) for place in places):
        raise _NotPublicError("it leads to an address that is not public")
    return socket.create_connection((places[0], address[1]), timeout, source_address)


class _HttpConnection(http.client.HTTPConnection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._create_connection = _connect


class _HttpsConnection(http.client.HTTPSConnection):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._create_connection = _connect


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request):
        return self.do_open(_HttpConnection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request):
        return self.do_open(_HttpsConnection, request)


def _png(mask):
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _rle(mask):
    """COCO's run lengths: down the columns, background first."""
    values = np.asarray(mask).T.ravel() > 127
    changes = np.flatnonzero(np.diff(values, prepend=False))
    runs = np.diff([0, *changes, len(values)])
    return {"size": [mask.height, mask.width], "counts": runs.tolist()}


def _polygons(mask):
    try:
        from clipseg_hf.processing import mask_to_polygons
    except ImportError:
        raise ValueError('output_format "polygons" needs clipseg-hf in the endpoint\'s requirements.txt.') from None
    return mask_to_polygons(np.asarray(mask) > 127)


MASKS = {"png": _png, "rle": _rle, "polygons": _polygons}
