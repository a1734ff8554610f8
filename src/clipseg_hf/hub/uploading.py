"""One folder, one commit: up, read back, compared. Nothing of it is seen before all of it is there."""

import fnmatch
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError

from clipseg_hf.hub.origins import check_repo_id
from clipseg_hf.hub.portable import file_names

# The client says what it could not do by its HTTP library's exceptions; which library that is differs by version.
# An error page where it expects JSON is one more.
_NETWORK: tuple[type[Exception], ...] = (HfHubHTTPError.__bases__[0], json.JSONDecodeError)
_TRANSIENT = (408, 429, 500, 502, 503, 504)
WAITS = (1.0, 4.0, 10.0)  # seconds before another try, unless the Hub says how long

T = TypeVar("T")


class PublishedMeanwhile(ValueError):
    """Somebody else has published to the same place since this began."""


@dataclass(frozen=True)
class Place:
    """Where a folder goes, as it was when this began.

    Attributes:
        repo_id, repo_type: of the repository, which is there.
        revision: a branch, which is there; None: the main one.
        head: its last commit.
        create_pr: the commit is offered as a pull request to that branch.
    """

    repo_id: str
    repo_type: str
    revision: str | None
    head: str
    create_pr: bool = False


@dataclass(frozen=True)
class Upload:
    """What was published.

    Attributes:
        url: of the repository, or of the pull request.
        commit: that holds it.
        files: their names.
    """

    url: str
    commit: str
    files: list[str]


def check_hub(repo_id: str) -> None:
    """Refuse what could not be uploaded; asks no network.

    Raises:
        ValueError: a name that the Hub does not take, no token, or HF_HUB_OFFLINE.
    """
    check_repo_id(repo_id)
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ValueError("Publishing needs the network, but HF_HUB_OFFLINE is set: unset it, or look at a --dry-run.")
    if huggingface_hub.get_token() is None:
        raise ValueError("Publishing needs a token of the Hub, and there is none: `hf auth login`, or set HF_TOKEN.")


def open_place(
    repo_id: str,
    *,
    repo_type: str = "model",
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> Place:
    """Make the repository and the branch if need be, and note where they stand.

    Args:
        repo_id: "account/name".
        repo_type: "model" or "dataset".
        private: make it so that nobody else sees it; None: as the account's new ones are.
        revision: a branch; None: the main one.
        create_pr: see `Place`.

    Raises:
        ValueError: see `check_hub`; it is to be private, but is there already and public.
        ConnectionError, HfHubHTTPError: the Hub fails, or refuses it.
    """
    check_hub(repo_id)
    api = HfApi()
    patiently(lambda: api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True))
    info = patiently(lambda: api.repo_info(repo_id, repo_type=repo_type))
    if private and not info.private:
        raise ValueError(
            f"{repo_id} is there already, and public: what goes into it is seen by all. Make it private in its "
            "settings first, or choose another name."
        )
    if revision is not None:
        try:
            info = patiently(lambda: api.repo_info(repo_id, repo_type=repo_type, revision=revision))
        except RevisionNotFoundError:
            patiently(lambda: api.create_branch(repo_id, repo_type=repo_type, branch=revision, exist_ok=True))
            info = patiently(lambda: api.repo_info(repo_id, repo_type=repo_type, revision=revision))
    return Place(repo_id, repo_type, revision, info.sha, create_pr)


def upload_folder(folder: Path, place: Place, message: str, replaced: Sequence[str] = ()) -> Upload:
    """Publish a folder by one commit on top of what the place held when it was opened, and compare what arrived.

    Large files go up first, where nobody sees them; files that are up already are not sent again, so the same call
    goes on where one failed.

    Args:
        folder: all of its files go up.
        place: where to.
        message: of the commit.
        replaced: patterns of files that go where the folder has no such file.

    Raises:
        PublishedMeanwhile: the branch has moved since; nothing was changed.
        ValueError: what arrived differs.
        ConnectionError, HfHubHTTPError: the Hub fails, or refuses it; nothing was changed.
    """
    api, names = HfApi(), file_names(folder)
    where: dict[str, Any] = {"repo_type": place.repo_type, "revision": place.revision}
    listed = patiently(lambda: api.list_repo_files(place.repo_id, repo_type=place.repo_type, revision=place.head))
    left = [name for name in listed if name not in names and any(fnmatch.fnmatch(name, part) for part in replaced)]
    operations = [CommitOperationAdd(name, folder / name) for name in names]
    operations += [CommitOperationDelete(name) for name in left]

    def commit() -> tuple[str, str | None, str]:
        done = api.create_commit(
            place.repo_id,
            operations,
            commit_message=message,
            parent_commit=place.head,
            create_pr=place.create_pr,
            **where,
        )
        return done.oid, done.pr_revision, done.pr_url or str(done.repo_url)

    try:
        # an answer that was lost may have made a pull request, and another try another one
        oid, pr_revision, url = patiently(commit, waits=() if place.create_pr else None)
    except HfHubHTTPError as error:
        if error.response.status_code not in (409, 412):
            raise
        head = patiently(lambda: api.repo_info(place.repo_id, **where)).sha
        if differing(api, folder, names, place, head):
            raise PublishedMeanwhile(
                f"Somebody has published to {place.repo_id} ({place.revision or 'main'}) since this began: it is at "
                f"{head[:7]}, no longer at {place.head[:7]}. Nothing was changed. Look at what is there now; the same "
                "command again replaces it."
            ) from error
        kind = "datasets/" if place.repo_type == "dataset" else ""
        oid, pr_revision, url = (
            head,
            None,
            f"{api.endpoint}/{kind}{place.repo_id}",
        )  # our own try, whose answer was lost
    wrong = differing(api, folder, names, place, pr_revision or oid)
    if wrong:
        raise ValueError(
            f"{place.repo_id} at {oid[:7]} does not hold what was sent: {', '.join(wrong[:5])} differ(s). Publish "
            "again; if that does not help, look at the repository's .gitignore."
        )
    return Upload(url, oid, names)


def differing(api: HfApi, folder: Path, names: Sequence[str], place: Place, revision: str) -> list[str]:
    """The files of a folder that a revision on the Hub lacks, or holds with other bytes: by the Hub's own hashes."""
    options = {"repo_type": place.repo_type, "revision": revision}
    found = patiently(lambda: api.get_paths_info(place.repo_id, list(names), **options))
    hashes = {entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in found}
    return [name for name in names if hashes.get(name) not in _hashes(folder / name)]


def _hashes(path: Path) -> tuple[str, str]:
    """What the Hub tells of a file: the SHA-256 of a large one, git's SHA-1 of any other."""
    large = hashlib.sha256()
    small = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            large.update(block)
            small.update(block)
    return large.hexdigest(), small.hexdigest()


def patiently(ask: Callable[[], T], waits: Sequence[float] | None = None) -> T:
    """Ask the Hub; again, after a while, where it was too busy, failed, or the connection broke.

    Raises:
        ConnectionError: it still does.
        HfHubHTTPError: it answers that it will not.
    """
    for wait in (*(WAITS if waits is None else waits), None):
        try:
            return ask()
        except (*_NETWORK, RuntimeError) as error:
            # the client's way to tell of a large file that it has tried to send five times
            given_up = isinstance(error, RuntimeError)
            cause = error.__cause__ if given_up else error
            if not isinstance(cause, _NETWORK):
                raise
            response = getattr(cause, "response", None)
            if response is not None and response.status_code not in _TRANSIENT:
                raise cause from None
            if wait is None or given_up:
                raise ConnectionError(
                    f"The Hub cannot be reached, or fails, also when asked again ({_first_line(cause)}). Nothing "
                    "was published; the same command again goes on."
                ) from error
            told = response.headers.get("Retry-After", "") if response is not None else ""
            time.sleep(float(told) if told.isdigit() else wait)
    raise AssertionError("the last try returns or raises")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
