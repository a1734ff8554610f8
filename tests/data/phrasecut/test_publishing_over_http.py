"""Publishing and reading back over HTTP, with a small stand-in for the Hub on this machine."""

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

REPO = "someone/phrasecut"


class StandIn(BaseHTTPRequestHandler):
    """One data set's repository, without history: large files come by LFS, small ones in the commit."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, server = urlsplit(self.path).path, self.server
        server.asked.append(f"POST {path}")
        if path == "/api/repos/create":
            server.exists = True
            self.answer({"url": f"{server.url}/datasets/{REPO}", "name": REPO, "id": REPO})
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path == f"/api/datasets/{REPO}/preupload/main":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if file.endswith(".parquet") else "regular" for file in files]
            pairs = zip(files, modes, strict=True)
            self.answer({"files": [{"path": file, "uploadMode": mode, "shouldIgnore": False} for file, mode in pairs]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            for entry in objects:
                entry["actions"] = {"upload": {"href": f"{server.url}/lfs/{entry['oid']}"}}
            self.answer({"transfer": "basic", "objects": objects})
        elif path == f"/api/datasets/{REPO}/commit/main":
            for line in map(json.loads, body.splitlines()):
                self.take_in(line["key"], line["value"])
            server.commit = f"{int(server.commit) + 1:040}"
            url = f"{server.url}/datasets/{REPO}/commit/{server.commit}"
            self.answer({"success": True, "commitOid": server.commit, "commitUrl": url, "hookOutput": ""})
        elif re.fullmatch(rf"/api/datasets/{REPO}/paths-info/\w+", path):
            wanted = (
                json.loads(body)["paths"] if body[:1] == b"{" else re.findall(r"paths=([^&]*)", unquote(body.decode()))
            )
            self.answer([entry for entry in self.entries() if entry["path"] in wanted])
        else:
            self.answer({"error": f"unknown: {path}"}, status=404)

    def take_in(self, key, value):
        files = self.server.files
        if key == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            files[value["path"]] = self.server.objects[value["oid"]]
        elif key == "deletedFile":
            del files[value["path"]]

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(content).hexdigest() == self.path.rpartition("/")[2]
        self.server.objects[self.path.rpartition("/")[2]] = content
        self.answer({})

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        if match := re.fullmatch(rf"/datasets/{REPO}/resolve/\w+/(.*)", path):
            self.send_file(match[1])
        elif not self.server.exists:
            self.answer({"error": "none"}, status=404, **{"X-Error-Code": "RepoNotFound"})
        elif match := re.fullmatch(rf"/api/datasets/{REPO}/tree/\w+/?(.*)", path):
            found = list(self.listed(match[1], recursive="recursive=true" in self.path.lower()))
            if found or not match[1]:
                self.answer(found)
            else:
                self.answer({"error": "none"}, status=404, **{"X-Error-Code": "EntryNotFound"})
        elif re.fullmatch(rf"/api/datasets/{REPO}(/revision/\w+)?", path):
            siblings = [{"rfilename": file} for file in self.server.files]
            self.answer({"id": REPO, "sha": self.server.commit, "private": False, "tags": [], "siblings": siblings})
        else:
            self.answer({"error": f"unknown: {path}"}, status=404)

    def entries(self):
        for path, content in sorted(self.server.files.items()):
            yield {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def listed(self, folder, recursive):
        """What is in a folder, folders as such where it is not to be walked."""
        top, folders = f"{folder}/" if folder else "", set()
        for entry in self.entries():
            if not entry["path"].startswith(top):
                continue
            inner, slash, _ = entry["path"].removeprefix(top).partition("/")
            if recursive or not slash:
                yield entry
            elif inner not in folders:
                folders.add(inner)
                yield {"type": "directory", "path": top + inner, "size": 0, "oid": "0" * 40}

    def send_file(self, name):
        if name not in self.server.files:
            self.answer(
                {"error": "none"}, status=404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.server.commit}
            )
            return
        content = self.server.files[name]
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": self.server.commit,
            "Accept-Ranges": "bytes",
        }
        status = 200
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            content, status = content[start : end + 1], 206
        self.answer(content, status=status, **headers)

    def answer(self, content, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.commit = "0" * 40
    server.exists, server.files, server.objects, server.asked = False, {}, {}, []
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


SCRIPT = """
import sys
import datasets
import numpy as np
from clipseg_hf.data import load_phrasecut_plus
from clipseg_hf.data.phrasecut.publishing import push_phrasecut_to_hub

def values(rows):
    return [{k: np.asarray(v).tolist() if hasattr(v, "getpixel") else v for k, v in row.items()} for row in rows]

made = {}
for name in ("images", "plus"):
    made[name] = load_phrasecut_plus(sys.argv[1], config_name=name, cache_dir=sys.argv[2] + "/made")
    print(push_phrasecut_to_hub(made[name], "someone/phrasecut", name, token="hf_none"))
for name, data in made.items():
    read = datasets.load_dataset("someone/phrasecut", name, cache_dir=sys.argv[2] + "/read")
    assert set(read) == set(data)
    for split in data:
        assert values(read[split]) == values(data[split]), (name, split)
        assert read[split].features == data[split].features
        streamed = datasets.load_dataset("someone/phrasecut", name, split=split, streaming=True)
        assert values(streamed) == values(data[split]), (name, split)
print("equal")
"""


def test_both_configurations_go_up_and_read_back_equal_also_streaming(hub, phrasecut_dir, tmp_path):
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    kept |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
        "HF_DATASETS_OFFLINE": "0",
    }
    kept |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}

    command = [sys.executable, "-c", SCRIPT, str(phrasecut_dir), str(tmp_path)]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, timeout=100)

    assert done.returncode == 0, done.stderr[-3000:] + "\n".join(hub.asked[-12:])
    assert done.stdout.split() == [f"{hub.url}/datasets/{REPO}"] * 2 + ["equal"]
    assert {"README.md", "LICENSE.txt", "images/train-00000-of-00001.parquet"} <= set(hub.files)
    assert hub.files["LICENSE.txt"].startswith(b"The annotations of Visual Genome")
    card = hub.files["README.md"].decode()
    assert "# PhraseCut" in card and "config_name: images" in card and "config_name: plus" in card
    assert any(asked.startswith("GET") and asked.endswith("train-00000-of-00001.parquet") for asked in hub.asked)
