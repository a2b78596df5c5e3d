"""Downloads from a hub that fails in the ways that networks do; the clients are processes of their own."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from math import inf
from pathlib import Path

import permissions
import pytest
from hub_server import HubServer

from ditr.errors import InputError
from ditr.io.hub import fetch_folder

REPOSITORY = "someone/model"
NAMES = ("config.json", ("model.safetensors", "model.bin"), "parts/one.json", "parts/empty.txt")

CLIENT = """
import json, logging, os, sys
from ditr.errors import InputError
from ditr.io.hub import fetch_folder
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
if "WITHOUT_LINKS" in os.environ:
    def refuse(*arguments, **options):
        raise OSError("a privilege is not held")
    os.symlink = refuse
if "BOUND" in os.environ:
    sys.path.insert(0, os.environ["BOUND"])
    from permissions import permissions_bind
    bound = permissions_bind()
    bound.__enter__()
for call in json.loads(sys.argv[1]):
    names = [name if isinstance(name, str) else tuple(name) for name in call.pop("names")]
    try:
        print(json.dumps({"path": str(fetch_folder(call.pop("repository"), names, **call))}), flush=True)
    except InputError as fault:
        told = {"kind": type(fault).__name__, "where": fault.where, "fault": fault.fault, "remedy": fault.remedy}
        print(json.dumps(told), flush=True)
"""


@dataclass(frozen=True)
class Outcome:
    """What one call in a client came to, and the log of all calls of that client."""

    log: str
    path: Path = Path()
    kind: str = ""
    where: str = ""
    fault: str = ""
    remedy: str = ""


def call(names: tuple[str | tuple[str, ...], ...] = NAMES, **options: object) -> dict[str, object]:
    return {"names": names, "repository": REPOSITORY, **options}


class Client:
    """Runs calls in a new process; its cache is ``home``."""

    def __init__(self, home: Path) -> None:
        self.home = home

    @property
    def folder(self) -> Path:
        return self.home / "hub" / "models--someone--model"

    def start(self, server: HubServer, *calls: dict[str, object], **variables: str) -> subprocess.Popen[str]:
        environment = os.environ | server.environment(self.home) | variables
        return subprocess.Popen(
            [sys.executable, "-c", CLIENT, json.dumps(calls)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, server: HubServer, *calls: dict[str, object], **variables: str) -> list[Outcome]:
        process = self.start(server, *(calls or (call(),)), **variables)
        return self.finish(process)

    def finish(self, process: subprocess.Popen[str]) -> list[Outcome]:
        output, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        told = [json.loads(line) for line in output.splitlines()]
        return [Outcome(log, **{k: Path(v) if k == "path" else v for k, v in each.items()}) for each in told]

    def files(self) -> list[str]:
        """Everything in the cache that a later call could take for a file of the repository."""
        found = [*(self.folder / "snapshots").rglob("*"), *(self.folder / "blobs").rglob("*")]
        return [str(path.relative_to(self.folder)) for path in found if not path.is_dir()]


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "cache")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "parts").mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 384}\n' * 20)
    (folder / "README.md").write_text("not asked for")
    (folder / "model.safetensors").write_bytes(random.Random(1).randbytes(1_000_003))
    (folder / "parts" / "one.json").write_text("1")
    (folder / "parts" / "empty.txt").touch()
    return folder


def assert_same(folder: Path, repository: Path, names: tuple[str, ...] = ("config.json", "model.safetensors")) -> None:
    assert folder != Path()
    for name in names:
        assert (folder / name).read_bytes() == (repository / name).read_bytes()


def test_a_folder_comes_whole_and_once(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        first, second = client.run(server, call(), call(), HF_TOKEN="hf_secret")
        assert_same(first.path, repository, ("config.json", "model.safetensors", "parts/one.json", "parts/empty.txt"))
        assert not (first.path / "README.md").exists()
        assert second.path == first.path
        assert server.count("body") == 3 and server.count("api") == 2
        bodies = server.bodies("/large/")
        assert len(bodies) == 1 and bodies[0].authorization is None  # the log-in stays with the hub
        assert {a.authorization for a in server.answers if a.kind in ("api", "head")} == {"Bearer hf_secret"}
        assert "was interrupted" not in first.log


def test_the_cache_is_that_of_huggingface_hub(client: Client, repository: Path) -> None:
    """Its own function finds what came from here, and what it brought is taken here."""
    program = """
import sys
from huggingface_hub import hf_hub_download, scan_cache_dir
for name in ("config.json", "model.safetensors"):
    path = hf_hub_download(sys.argv[1], name, local_files_only=len(sys.argv) > 2)
print(path)
assert not scan_cache_dir().warnings, scan_cache_dir().warnings
"""

    def theirs(server: HubServer, home: Path, *options: str) -> Path:
        command = [sys.executable, "-c", program, REPOSITORY, *options]
        environment = os.environ | server.environment(home)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return Path(done.stdout.splitlines()[-1]).parent

    names = ("config.json", "model.safetensors")
    with HubServer({REPOSITORY: repository}) as server:
        ours = client.run(server, call(names))[0].path
        assert theirs(server, client.home, "local") == ours
        other = Client(client.home.with_name("other"))
        brought = theirs(server, other.home)
        assert_same(brought, repository)
        asked = len(server.answers)
        (unasked,) = other.run(server, call(names, ask=False))
        (offline,) = other.run(server, call(names), HF_HUB_OFFLINE="1")
        assert unasked.path == offline.path == brought
        assert len(server.answers) == asked


def test_the_first_of_several_names_and_optional_ones(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        first, optional, missing = client.run(
            server,
            call((("model.bin", "model.safetensors"),)),
            call(("config.json",), optional=["preprocessor_config.json", "README.md"]),
            call(("config.json", ("weights.bin", "model.bin"))),
        )
        assert optional.path == first.path
        assert sorted(path.name for path in first.path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
        assert missing.fault == "it has no file weights.bin or model.bin in revision 'main' on the hub"
        assert "model.safetensors" in missing.remedy and "parts/one.json" in missing.remedy


def test_systems_without_symbolic_links(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        first, second = client.run(server, call(), call(), WITHOUT_LINKS="1")
        assert first.path == second.path and not (first.path / "config.json").is_symlink()
        assert_same(first.path, repository)
        assert server.count("body") == 3
        (offline,) = client.run(server, HF_HUB_OFFLINE="1")
        assert offline.path == first.path


def test_a_connection_that_breaks_is_made_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.only, server.faults.drops = "/large/", deque([500_000])
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert len(server.bodies("/large/")) == 2


def test_a_killed_download_begins_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.speed = 500_000
        process = client.start(server, call())
        until = time.monotonic() + 30
        while not list((client.folder / "blobs").glob("*.incomplete")):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.002)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (client.folder / "refs" / "main").exists()
        server.faults.speed = None
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert outcome.log.count("was interrupted; it starts again") == 1
        assert not list((client.folder / "blobs").glob("*.incomplete"))
        last = server.bodies("/large/")[-1]
        assert (last.status, last.start) == (200, 0)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_hash_is_not_taken(client: Client, repository: Path, name: str) -> None:
    """SHA-256 for a large file, git's SHA-1 for a small one."""
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.only, server.faults.corrupt = name, inf
        (refused,) = client.run(server)
        assert refused.kind == "InputError" and refused.where == REPOSITORY
        assert refused.fault.startswith(f"{name} does not have the hash that the hub states (")
        assert "by hand" in refused.remedy
        found = server.entries(REPOSITORY)
        assert found is not None
        assert not any(name in file or found[1][name].etag in file for file in client.files())
        (offline,) = client.run(server, HF_HUB_OFFLINE="1")
        assert offline.kind == "Unreachable"
        server.faults.corrupt = 0
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)


def test_a_blob_that_was_damaged_later_is_downloaded_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        blob = (first.path / "model.safetensors").resolve()
        content = bytearray(blob.read_bytes())
        content[1000] ^= 1
        blob.write_bytes(content)
        (second,) = client.run(server)
        assert "and is deleted" in second.log
        assert second.path == first.path
        assert_same(second.path, repository)
        blob.write_bytes(content[:-1])
        (offline,) = client.run(server, HF_HUB_OFFLINE="1")
        assert offline.kind == "Unreachable" and not blob.exists()


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_that_is_not_well(client: Client, repository: Path, status: int) -> None:
    """One question, so that nobody waits where there is a substitute."""
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.statuses = deque([status] * 9)
        (refused,) = client.run(server)
        assert refused.kind == "Unreachable" and f"the Hugging Face hub answers {status} " in refused.fault
        assert "try again later" in refused.fault and "by hand" in refused.remedy
        assert len(server.answers) == 1
        server.faults.statuses.clear()
        server.faults.status_kinds, server.faults.statuses = ("body",), deque([500])
        (refused,) = client.run(server, call(("model.safetensors",)))
        assert refused.kind == "Unreachable" and "answers 500 Internal Server Error" in refused.fault
        (outcome,) = client.run(server)
        server.faults.status_kinds, server.faults.statuses = ("api",), deque([status])
        (cached,) = client.run(server)
        assert cached.path == outcome.path and "taking the copy in the cache" in cached.log


def test_a_silent_hub_is_given_up(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.silence = 4.0
        (outcome,) = client.run(server, HF_HUB_ETAG_TIMEOUT="1")
        assert outcome.kind == "Unreachable" and "cannot be reached (no answer in 1 s" in outcome.fault
        assert client.files() == [] and len(server.answers) <= 1


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_hub_that_cannot_be_reached(client: Client, repository: Path) -> None:
    endpoint, few = nobody(), call(("config.json", "model.safetensors"))
    with HubServer({REPOSITORY: repository}) as server:
        (refused,) = client.run(server, HF_ENDPOINT=endpoint)
        assert refused.kind == "Unreachable" and refused.where == REPOSITORY
        assert "cannot be reached" in refused.fault
        for remedy in ("proxy", "HF_ENDPOINT", f"by hand from {endpoint}/{REPOSITORY}/tree/main", "name the folder"):
            assert remedy in refused.remedy
        (online,) = client.run(server, few)
        assert online.log.count("WARNING") == 0
        cached, more = client.run(server, few, call(), HF_ENDPOINT=endpoint)
        offline, whole = client.run(server, few, call(), HF_HUB_OFFLINE="1")
        assert cached.path == online.path and "taking the copy in the cache, commit" in cached.log
        assert more.kind == "Unreachable"  # parts/ was not fetched
        assert offline.path == online.path and "HF_HUB_OFFLINE is set" in offline.log
        assert whole.kind == "Unreachable" and "HF_HUB_OFFLINE is set" in whole.fault


def test_the_newer_storage_is_not_needed(client: Client, repository: Path) -> None:
    """It is another service than the hub's (Xet), which is waited for without end where a network blocks it."""
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.announces_xet = True
        (outcome,) = client.run(server, HF_HUB_DISABLE_XET="", HF_TOKEN="hf_secret")
        assert_same(outcome.path, repository)
        assert not [answer for answer in server.answers if "xet" in answer.path]
        assert [body.authorization for body in server.bodies("/large/")] == [None]


def test_a_full_commit_hash_needs_no_hub(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        commit = server.commit(REPOSITORY)
        (first, again) = client.run(server, call(revision=commit), call(revision=commit))
        asked = len(server.answers)
        (later,) = client.run(server, call(revision=commit))
        assert first.path == again.path == later.path and first.path.name == commit
        assert len(server.answers) == asked and server.count("api") == 1
        (other,) = client.run(server, call(revision="0" * 40))
        assert "has no revision" in other.fault and f"{REPOSITORY}/commits/main" in other.remedy


def test_a_branch_that_moved(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        (repository / "config.json").write_text('{"hidden_size": 768}')
        server.commit(REPOSITORY)
        # The hub answers, but the new file does not come: the old snapshot is still whole.
        server.faults.status_kinds, server.faults.statuses = ("resolve",), deque([500])
        (broken, moved) = client.run(server, call(), call())
        assert broken.path == first.path and "taking the copy in the cache" in broken.log
        assert moved.path != first.path
        assert_same(moved.path, repository)
        assert len(server.bodies("/large/")) == 1


def test_refusals_are_told_apart(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository, "meta/gated": repository}) as server:
        server.faults.gated = frozenset({"meta/gated"})
        asked = (call(repository="meta/gated"), call(repository="no/such"), call(revision="v2"))
        gated, unknown, revision = client.run(server, *asked)
        assert "licence is accepted (401 Unauthorized: Access to model meta/gated is restricted.)" in gated.fault
        for remedy in (f"{server.endpoint}/meta/gated", "hf auth login", "HF_TOKEN"):
            assert remedy in gated.remedy
        assert server.count("body") == 0
        assert (
            "there is no such repository on the Hugging Face hub, or it is private (404 Not Found: Repository not "
            "found)" in unknown.fault
        )
        assert server.count("api", "no/such") == 1
        assert "has no revision 'v2'" in revision.fault
        server.faults.hides_missing = True
        hidden, gated = client.run(server, asked[1], asked[0], HF_TOKEN="hf_without_licence")
        assert "or it is private (401 Unauthorized: Invalid username or password.)" in hidden.fault
        assert "hf auth login" in hidden.remedy
        assert "licence is accepted (403 Forbidden: " in gated.fault


def test_a_log_in_page_is_not_the_hub(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        server.faults.login_page = True
        (cached,) = client.run(server)
        assert cached.path == first.path and "does not answer like the Hugging Face hub" in cached.log
        (refused,) = Client(client.home.with_name("other")).run(server)
        assert refused.kind == "Unreachable" and "log-in page" in refused.fault


def test_a_disk_that_is_full(client: Client, repository: Path) -> None:
    """A limit on the size of files stands for it: the write fails after some bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with HubServer({REPOSITORY: repository}) as server:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
        try:
            process = client.start(server, call())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        (refused,) = client.finish(process)
        assert refused.kind == "Unwritable" and "no space left" in refused.fault and "HF_HOME" in refused.remedy
        assert str(client.home) in refused.fault
        assert server.count("body", "/large/") == 1
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)


def test_a_cache_that_cannot_be_made(client: Client, repository: Path) -> None:
    client.home.write_text("a file where the folder should be")
    with HubServer({REPOSITORY: repository}) as server:
        (refused,) = client.run(server)
        assert "cannot be used" in refused.fault and "HF_HOME" in refused.remedy


def test_a_cache_that_may_only_be_read(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        bound = {"BOUND": str(Path(permissions.__file__).parent)}
        permissions.give_away(client.home)
        for note in (client.folder / ".ditr" / "verified").iterdir():
            note.chmod(0)  # and not even this
        (here,) = client.run(server, **bound)
        assert here.path == first.path and "WARNING" not in here.log
        (repository / "config.json").write_text('{"hidden_size": 768}')
        server.commit(REPOSITORY)
        (older,) = client.run(server, **bound)
        assert older.path == first.path and "cannot be used" in older.log and "taking the copy" in older.log
        weights = (client.folder / "snapshots" / first.path.name / "model.safetensors").resolve()
        content = weights.read_bytes()
        weights.chmod(0o644)
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        weights.chmod(0o444)
        (damaged,) = client.run(server, **bound)
        assert damaged.kind == "Unwritable" and "HF_HOME" in damaged.remedy and "cannot be deleted" in damaged.log
        assert weights.exists()
    permissions.give_back(client.home)


def test_processes_at_once_download_once(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.speed = 1_000_000
        processes = [client.start(server, call()) for _ in range(2)]
        outcomes = [client.finish(process)[0] for process in processes]
        assert outcomes[0].path == outcomes[1].path
        assert_same(outcomes[0].path, repository)
        assert server.count("body") == 3
        assert not any("was interrupted" in outcome.log for outcome in outcomes)


@pytest.mark.parametrize(
    ("repository", "names", "revision"),
    [
        ("../model", ["config.json"], None),
        ("a/b/c", ["config.json"], None),
        ("a--b", ["config.json"], None),
        ("a/b-", ["config.json"], None),
        ("a/b", ["../config.json"], None),
        ("a/b", ["/etc/passwd"], None),
        ("a/b", ["folder//x"], None),
        ("a/b", ["config.json"], "../../x"),
    ],
)
def test_arguments_are_checked_before_the_hub_is_asked(repository: str, names: list[str], revision: str | None) -> None:
    with pytest.raises(InputError, match=r"hub repository|not the name of a file"):
        fetch_folder(repository, names, revision=revision)
