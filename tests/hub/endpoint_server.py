"""A server that runs the handler.py of a folder (argv[1]) as Hugging Face's inference toolkit does; prints its port.

As there: the handler is loaded from its file, images come as such by their Content-Type and JSON otherwise, the query
of the address stands in for parameters, and an exception is answered by its text and the status 400.
"""

import importlib.util
import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from PIL import Image


def load_handler(folder):
    spec = importlib.util.spec_from_file_location("handler", f"{folder}/handler.py")
    sys.path.insert(0, folder)
    module = sys.modules["handler"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EndpointHandler(folder)


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, answer = 200, handler(self.read(body))
        except Exception as error:
            status, answer = 400, {"error": str(error)}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def read(self, body):
        kind = (self.headers.get("Content-Type") or "").partition(";")[0].lower()
        if kind.startswith("image/"):
            data = {"inputs": Image.open(io.BytesIO(body)).convert("RGB")}
        elif kind == "application/json":
            data = json.loads(body)
        else:
            raise ValueError(f'Content type "{kind}" not supported.')
        if "inputs" not in data:
            raise ValueError("Body needs to provide a inputs key")
        query = dict(parse_qsl(urlsplit(self.path).query))
        if query and "parameters" not in data:
            data["parameters"] = {name: int(value) if value.isnumeric() else value for name, value in query.items()}
        return data


handler = load_handler(sys.argv[1])
server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
print(server.server_port, flush=True)
server.serve_forever()
