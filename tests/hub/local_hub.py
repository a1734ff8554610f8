"""A Hub on 127.0.0.1, in memory, that the real client takes for one: repositories with history, large files, refusals.

    with LocalHub() as hub:
        hub.fail("POST", "/commit/", status=500)      # the next such request
        ...                                           # huggingface_hub with HF_ENDPOINT=hub.url

It speaks what `huggingface_hub` asks for: whoami, create, branches, info, tree, paths-info, validate-yaml, preupload,
the LFS batch with its uploads, commits (NDJSON, `parentCommit`, pull requests), and files with ETag, redirect, ranges.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LARGE = (".safetensors", ".parquet", ".jpg", ".png", ".bin")  # what a new repository keeps by LFS


@dataclass
class Repository:
    """One repository: `commits` hold name -> SHA-256 of a file, `refs` name -> commit."""

    id: str
    kind: str
    private: bool
    commits: dict[str, dict[str, str]] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, str], message: str, ref: str) -> str:
        oid = hashlib.sha1(f"{self.id} {len(self.commits)}".encode()).hexdigest()
        self.commits[oid], self.messages[oid], self.refs[ref] = files, message, oid
        return oid


@dataclass
class Failure:
    """What is to go wrong, and how often; `cut` breaks the connection: "before" anything, "after" it was done, or after
    so many bytes of the answer."""

    method: str
    path: str
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: str | int | None = None


class LocalHub:
    """The server, in threads of its own.

    Attributes:
        url: for HF_ENDPOINT.
        tokens: token -> account.
        repositories: (kind, id) -> repository, kind as in addresses: "models", "datasets".
        objects: SHA-256 -> bytes of every file.
        asked: "METHOD path" of every request, `ranges` the Range of every one that had one.
    """

    def __init__(self):
        self.tokens = {"hf_secretOfMe": "me", "hf_secretOfOther": "other"}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.ranges: list[str] = []
        self.failures: list[Failure] = []
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.hub = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def fail(self, method: str, path: str, *, times: int = 1, **how) -> None:
        """Let the next requests of a method whose path matches fail."""
        self.failures.append(Failure(method, path, times, **how))

    def files(self, repo_id: str, revision: str = "main", kind: str = "models") -> dict[str, bytes]:
        """What a revision holds, without what every new repository does."""
        repository = self.repositories[kind, repo_id]
        names = repository.commits[repository.refs.get(revision, revision)]
        return {name: self.objects[sha] for name, sha in names.items() if name != ".gitattributes"}

    def put(self, content: bytes) -> str:
        sha = hashlib.sha256(content).hexdigest()
        self.objects[sha] = content
        return sha


class Refusal(Exception):
    def __init__(self, status: int, error: str, **headers: str):
        self.status, self.error = status, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def is_large(name: str) -> bool:
    return name.endswith(LARGE)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out at once, not its head first, whose receipt would be waited for
    hub: LocalHub

    def log_message(self, *_):
        pass

    def do_POST(self):
        self.serve()

    do_PUT = do_GET = do_HEAD = do_POST

    def serve(self):
        self.hub = self.server.hub
        address = urlsplit(self.path)
        path, self.query = unquote(address.path), {k: v[0] for k, v in parse_qs(address.query).items()}
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.cut = None
        with self.hub.lock:
            self.hub.asked.append(f"{self.command} {path}")
            failure = next((f for f in self.hub.failures if f.times and self.is_meant(f, path)), None)
            if failure:
                failure.times -= 1
        if failure and failure.status:
            return self.answer({"error": "as asked for"}, failure.status, **failure.headers)
        self.cut = failure.cut if failure else None
        if self.cut == "before":
            return self.hang_up()
        try:
            with self.hub.lock:
                content, status, headers = self.route(path)
        except Refusal as refusal:
            content, status, headers = {"error": refusal.error}, refusal.status, refusal.headers
        if self.cut == "after":
            return self.hang_up()
        return self.answer(content, status, **headers)

    def is_meant(self, failure: Failure, path: str) -> bool:
        return self.command == failure.method and re.search(failure.path, path) is not None

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def answer(self, content, status=200, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        size = headers.pop("Content-Length", str(len(body)))
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": size}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            if isinstance(self.cut, int):
                self.wfile.write(body[: self.cut])
                self.wfile.flush()
                return self.hang_up()
            self.wfile.write(body)
        return None

    # who asks for what

    def route(self, path: str):
        account = self.hub.tokens.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if path == "/api/whoami-v2":
            if account is None:
                raise Refusal(401, "Invalid credentials in Authorization header")
            return {"name": account, "type": "user", "auth": {}, "orgs": []}, 200, {}
        if path == "/api/repos/create":
            return self.create(account)
        if path == "/api/validate-yaml":
            return self.validate()
        if match := re.fullmatch(r"/lfs/(\w{64})", path):
            return self.large_object(match[1])
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/([\w-]+)(?:/(.*))?)?", path):
            kind, repo_id, action, rest = match.groups()
            repository = self.find(kind, repo_id, account)
            return getattr(self, f"on_{(action or 'revision').replace('-', '_')}")(repository, rest, account)
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+?)(?:\.git/info/lfs/objects/batch)", path):
            self.find("datasets" if match[1] else "models", match[2], account)
            return self.batch(account)
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", path):
            return self.resolve(self.find("datasets" if match[1] else "models", match[2], account), *match.groups()[2:])
        raise Refusal(404, f"nothing is at {path}")

    def find(self, kind: str, repo_id: str, account: str | None) -> Repository:
        repository = self.hub.repositories.get((kind, repo_id))
        if repository is None or (repository.private and repo_id.split("/")[0] != account):
            raise Refusal(404 if account else 401, "Repository not found", X_Error_Code="RepoNotFound")
        return repository

    def may_write(self, repository: Repository, account: str | None) -> None:
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        if repository.id.split("/")[0] != account and not self.query.get("create_pr"):
            raise Refusal(403, "Forbidden", X_Error_Message="you have no right to write here")

    def commit_of(self, repository: Repository, revision: str | None) -> str:
        revision = revision or "main"
        if revision in repository.commits:
            return revision
        if revision not in repository.refs:
            raise Refusal(404, f"Invalid rev id: {revision}", X_Error_Code="RevisionNotFound")
        return repository.refs[revision]

    # what is asked

    def create(self, account: str | None):
        asked = json.loads(self.body)
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        owner, kind = asked.get("organization") or account, f"{asked.get('type') or 'model'}s"
        repo_id = f"{owner}/{asked['name']}"
        url = f"{self.hub.url}/{'datasets/' if kind == 'datasets' else ''}{repo_id}"
        if owner != account:
            raise Refusal(403, "You don't have the rights to create a model under this namespace")
        if (kind, repo_id) in self.hub.repositories:
            return {"error": "You already created this repo", "url": url}, 409, {}
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repository = self.hub.repositories[kind, repo_id] = Repository(repo_id, kind, private)
        lines = "".join(f"*{end} filter=lfs diff=lfs merge=lfs -text\n" for end in LARGE)
        repository.commit({".gitattributes": self.hub.put(lines.encode())}, "initial commit", "main")
        return {"url": url, "name": repo_id, "id": repo_id}, 200, {}

    def validate(self):
        """The metadata of a card: YAML, and of the kinds that the Hub wants."""
        content, errors = json.loads(self.body)["content"], []
        head = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            data = yaml.safe_load(head[1]) if head else {}
            kinds = {"license": str, "tags": list, "datasets": (list, str), "pipeline_tag": str, "model-index": list}
            errors = [
                f'"{k}" must be another type' for k, t in kinds.items() if k in data and not isinstance(data[k], t)
            ]
        except yaml.YAMLError as error:
            errors = [str(error)]
        told = {"errors": [{"message": error} for error in errors], "warnings": []}
        return told, 400 if errors else 200, {}

    def on_revision(self, repository: Repository, revision: str | None, account):
        oid = self.commit_of(repository, revision)
        siblings = [{"rfilename": name} for name in repository.commits[oid]]
        told = {"_id": "1", "id": repository.id, "sha": oid, "private": repository.private, "tags": [], "likes": 0}
        return told | {"siblings": siblings, "downloads": 0, "author": repository.id.split("/")[0]}, 200, {}

    def on_branch(self, repository: Repository, name: str, account):
        self.may_write(repository, account)
        if name in repository.refs:
            raise Refusal(409, "Reference already exists")
        repository.refs[name] = self.commit_of(repository, json.loads(self.body or b"{}").get("startingPoint"))
        return {}, 200, {}

    def on_refs(self, repository: Repository, rest, account):
        found = [(ref.startswith("refs/pr/"), ref, oid) for ref, oid in repository.refs.items()]
        entry = lambda ref, oid: {"name": ref, "ref": ref if "/" in ref else f"refs/heads/{ref}", "targetCommit": oid}  # noqa: E731
        branches = [entry(ref, oid) for is_pr, ref, oid in found if not is_pr]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}, 200, {}

    def entry(self, repository: Repository, oid: str, name: str) -> dict:
        sha = repository.commits[oid][name]
        content = self.hub.objects[sha]
        told = {"type": "file", "path": name, "size": len(content)}
        if not is_large(name):
            return told | {"oid": _git_hash(content)}
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(content)}\n".encode()
        lfs = {"oid": sha, "size": len(content), "pointerSize": len(pointer)}
        return told | {"oid": _git_hash(pointer), "lfs": lfs}

    def on_tree(self, repository: Repository, rest: str, account):
        revision, _, folder = _split_revision(rest)
        oid = self.commit_of(repository, revision)
        top, found = f"{folder}/" if folder else "", {}
        for name in repository.commits[oid]:
            inner, slash, _ = name.removeprefix(top).partition("/")
            if not name.startswith(top):
                continue
            if slash and self.query.get("recursive", "").lower() != "true":
                found.setdefault(top + inner, {"type": "directory", "path": top + inner, "size": 0, "oid": "0" * 40})
            else:
                found[name] = self.entry(repository, oid, name)
        if folder and not found:
            raise Refusal(404, "no such folder", X_Error_Code="EntryNotFound")
        return list(found.values()), 200, {}

    def on_paths_info(self, repository: Repository, revision: str, account):
        oid = self.commit_of(repository, revision)
        wanted = parse_qs(self.body.decode()).get("paths", [])
        if self.body.startswith(b"{"):
            wanted = json.loads(self.body)["paths"]
        return [self.entry(repository, oid, name) for name in wanted if name in repository.commits[oid]], 200, {}

    def on_preupload(self, repository: Repository, revision: str, account):
        self.may_write(repository, account)
        there = repository.commits[self.commit_of(repository, revision)]
        answers = []
        for file in json.loads(self.body)["files"]:
            name, large = file["path"], is_large(file["path"])
            sha = there.get(name)
            oid = None if sha is None else sha if large else _git_hash(self.hub.objects[sha])
            answers.append(
                {"path": name, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
            )
        return {"files": answers}, 200, {}

    def batch(self, account: str | None):
        """Large files may be sent by anybody who has an account: a pull request needs them, too."""
        if account is None:
            raise Refusal(401, "Invalid username or password.")
        objects = json.loads(self.body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.hub.objects:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{entry['oid']}"}}
        return {"transfer": "basic", "objects": objects}, 200, {}

    def large_object(self, sha: str):
        """Where large files lie: whoever has the address may read and write."""
        if self.command == "PUT":
            if hashlib.sha256(self.body).hexdigest() != sha:
                raise Refusal(400, "the content has another hash")
            return {self.hub.put(self.body): True}, 200, {}
        return self.ranged(self.hub.objects[sha], {"ETag": f'"{sha}"'})

    def on_commit(self, repository: Repository, revision: str, account):
        self.may_write(repository, account)
        header, *operations = (json.loads(line) for line in self.body.splitlines())
        head, parent = self.commit_of(repository, revision), header["value"].get("parentCommit")
        is_pr = bool(self.query.get("create_pr"))
        if parent and parent != head and not is_pr:
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[parent if parent and is_pr else head])
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                files[value["path"]] = self.hub.put(base64.b64decode(value["content"]))
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    raise Refusal(400, f"lfs object {value['oid']} was never uploaded")
                files[value["path"]] = value["oid"]
            elif files.pop(value["path"], None) is None:
                raise Refusal(404, "A file with this name doesn't exist", X_Error_Code="EntryNotFound")
        number = 1 + sum(ref.startswith("refs/pr/") for ref in repository.refs)
        oid = repository.commit(files, header["value"]["summary"], f"refs/pr/{number}" if is_pr else revision)
        place = f"{self.hub.url}/{'datasets/' if repository.kind == 'datasets' else ''}{repository.id}"
        told = {"success": True, "commitOid": oid, "commitUrl": f"{place}/commit/{oid}", "hookOutput": ""}
        return told | ({"pullRequestUrl": f"{place}/discussions/{number}"} if is_pr else {}), 200, {}

    def resolve(self, repository: Repository, revision: str, name: str):
        oid = self.commit_of(repository, revision)
        headers = {"X-Repo-Commit": oid}
        if name not in repository.commits[oid]:
            raise Refusal(404, "Entry not found", X_Error_Code="EntryNotFound", X_Repo_Commit=oid)
        sha = repository.commits[oid][name]
        content = self.hub.objects[sha]
        if not is_large(name):
            return self.ranged(content, headers | {"ETag": f'"{_git_hash(content)}"'})
        headers |= {"X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content))}
        place = self.hub.url.replace("127.0.0.1", "localhost")  # a host of its own, as the real one's
        return b"", 302, headers | {"Location": f"{place}/lfs/{sha}"}

    def ranged(self, content: bytes, headers: dict):
        headers |= {"Accept-Ranges": "bytes"}
        if not (match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))):
            return content, 200, headers
        self.hub.ranges.append(match[0])
        start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
        return content[start : end + 1], 206, headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"}


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _split_revision(rest: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"(refs/pr/\d+|[^/]+)(/?)(.*)", rest)
    return match[1], match[2], match[3]
