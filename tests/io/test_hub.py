"""Downloads from a hub that fails in every way that networks do; the clients are processes of their own."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from hub_server import Entry, HubServer

from ditr.errors import InputError
from ditr.io.hub import fetch_folder

REPOSITORY = "someone/model"
NAMES = ("config.json", "*.safetensors", "parts/*", "preprocessor*.json")
HASTY = {"attempts": 3, "timeout": 2.0, "pause": 0.02, "longest_pause": 2.0}
# One of the HTTP libraries loses up to this much when the connection breaks.
CHUNK = 1 << 12

CLIENT = """
import json, logging, os, sys
from ditr.errors import InputError
from ditr.io.hub import Patience, fetch_file, fetch_folder
logging.basicConfig(level="INFO", stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
if "WITHOUT_LINKS" in os.environ:
    def refuse(*arguments, **options):
        raise OSError("a privilege is not held")
    os.symlink = refuse
    if os.environ["WITHOUT_LINKS"] == "hard":
        os.link = refuse
for call in json.loads(sys.argv[1]):
    function = fetch_file if isinstance(call["what"], str) else fetch_folder
    try:
        path = function(call["repository"], call["what"], patience=Patience(**call["patience"]), **call["options"])
        print(json.dumps({"path": str(path)}), flush=True)
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


def call(
    what: str | tuple[str, ...] = NAMES,
    *,
    repository: str = REPOSITORY,
    revision: str | None = None,
    ask: bool = True,
    **patience: float,
) -> dict[str, object]:
    options = {"revision": revision} | ({} if ask else {"ask": False})
    return {"what": what, "repository": repository, "options": options, "patience": {**HASTY, **patience}}


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


def large(server: HubServer) -> Entry:
    found = server.entries(REPOSITORY)
    assert found is not None
    return found[1]["model.safetensors"]


def test_a_folder_comes_whole_and_once(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        first, second, single = client.run(server, call(), call(), call("model.safetensors"), HF_TOKEN="hf_secret")
        assert_same(first.path, repository, ("config.json", "model.safetensors", "parts/one.json", "parts/empty.txt"))
        assert not (first.path / "README.md").exists()
        assert second.path == first.path and single.path == first.path / "model.safetensors"
        assert server.count("body") == 4 and server.count("api") == 3
        bodies = server.bodies("/large/")
        assert len(bodies) == 1 and bodies[0].authorization is None  # the log-in stays with the hub
        assert {a.authorization for a in server.answers if a.kind in ("api", "head")} == {"Bearer hf_secret"}
        assert not any((client.folder / ".ditr" / "partial").iterdir())


def test_the_cache_is_that_of_huggingface_hub(client: Client, repository: Path) -> None:
    """Its own function finds what came from here, and what it brought is taken here."""
    program = """
import sys
from huggingface_hub import scan_cache_dir, snapshot_download
wanted = ["config.json", "*.safetensors"]
print(snapshot_download(sys.argv[1], allow_patterns=wanted, local_files_only=len(sys.argv) > 2))
assert not scan_cache_dir().warnings, scan_cache_dir().warnings
"""

    def theirs(server: HubServer, home: Path, *options: str) -> Path:
        command = [sys.executable, "-c", program, REPOSITORY, *options]
        environment = os.environ | server.environment(home)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return Path(done.stdout.splitlines()[-1])

    with HubServer({REPOSITORY: repository}) as server:
        ours = client.run(server, call(("config.json", "*.safetensors")))[0].path
        assert theirs(server, client.home, "local") == ours
        other = Client(client.home.with_name("other"))
        brought = theirs(server, other.home)
        assert_same(brought, repository)
        bodies = server.count("body")
        taken, offline = other.run(server, call(("config.json", "*.safetensors")), call("config.json"))
        assert taken.path == brought and offline.path == brought / "config.json"
        assert server.count("body") == bodies


def test_what_other_programs_left_may_be_incomplete(client: Client, repository: Path) -> None:
    program = "import sys; from huggingface_hub import hf_hub_download; hf_hub_download(sys.argv[1], 'config.json')"
    with HubServer({REPOSITORY: repository}) as server:
        environment = os.environ | server.environment(client.home)
        subprocess.run([sys.executable, "-c", program, REPOSITORY], env=environment, capture_output=True, check=True)
        names = ("config.json", "*.safetensors")
        (offline,) = client.run(server, call(names), HF_HUB_OFFLINE="1")
        assert offline.path.name == server.commit(REPOSITORY) and "perhaps not complete" in offline.log
        by_commit, unasked = call(names, revision=server.commit(REPOSITORY)), call(names, ask=False)
        assert_same(client.run(server, by_commit)[0].path, repository)
        asked = len(server.answers)
        assert_same(client.run(server, unasked, by_commit)[0].path, repository)
        assert len(server.answers) == asked


def test_the_newer_storage_is_not_needed(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.announces_xet = True
        (outcome,) = client.run(server, HF_HUB_DISABLE_XET="0")
        assert_same(outcome.path, repository)
        assert not [answer for answer in server.answers if "xet" in answer.path]


@pytest.mark.slow
@pytest.mark.parametrize("without", ["symbolic", "hard"])
def test_systems_without_links(client: Client, repository: Path, without: str) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        first, second = client.run(server, call(), call(), WITHOUT_LINKS=without)
        assert first.path == second.path and not (first.path / "config.json").is_symlink()
        assert_same(first.path, repository)
        assert server.count("body") == 4
        (offline,) = client.run(server, HF_HUB_OFFLINE="1")
        assert offline.path == first.path


@pytest.mark.parametrize("progress", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_bar_is_drawn_on_a_terminal(client: Client, repository: Path, progress: bool) -> None:
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    program = (
        f"from ditr.io.hub import fetch_file; fetch_file({REPOSITORY!r}, 'model.safetensors', progress={progress})"
    )
    with HubServer({REPOSITORY: repository}) as server:
        environment = os.environ | server.environment(client.home)
        subprocess.run([sys.executable, "-c", program], env=environment, stderr=end, check=True, timeout=60)
    os.write(end, b"over")
    drawn = b""
    while not drawn.endswith(b"over"):
        drawn += os.read(terminal, 1 << 16)
    os.close(terminal)
    os.close(end)
    assert (b"model.safetensors: 100%" in drawn) == progress
    assert progress or drawn == b"over"


def test_names_and_patterns(client: Client, repository: Path) -> None:
    (repository / "parts" / "two.safetensors").write_bytes(b"2")
    with HubServer({REPOSITORY: repository}) as server:
        nothing, again, flat, missing = client.run(
            server,
            call(("*.bin", "model.pt[h]")),
            call(("*.bin",), ask=False),
            call(("*.safetensors", "tokenizer*")),
            call(("config.json", "weights.bin")),
        )
        assert nothing.path == again.path == flat.path and flat.path.is_dir()
        assert server.count("api") == 3
        assert sorted(path.name for path in flat.path.iterdir()) == ["model.safetensors"]  # no parts/two.safetensors
        assert missing.fault == "has no file weights.bin in revision 'main' on the hub"
        assert "model.safetensors" in missing.remedy and "parts/one.json" in missing.remedy


def test_a_download_goes_on_where_it_was_broken_off(client: Client, repository: Path) -> None:
    size = (repository / "model.safetensors").stat().st_size
    generator = random.Random(7)
    drops = [0, 1, *(generator.randrange(5_000, 70_000) for _ in range(24)), 0]
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.only = "/large/"
        server.faults.drops = deque(drops)
        (outcome,) = client.run(server, call(("*.safetensors",), pause=0.001))
        assert_same(outcome.path, repository, ("model.safetensors",))
        bodies = server.bodies("/large/")
        assert len(bodies) >= 22
        assert len({body.start for body in bodies}) > 20
        for before, after in pairwise(bodies):
            end = before.start + before.sent
            assert end - CHUNK < after.start <= end
        # Nothing came twice but what was in the pipe when it broke.
        assert sum(body.sent for body in bodies) < size + len(bodies) * CHUNK


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 10))])
def test_a_killed_process_leaves_its_part_to_the_next(client: Client, repository: Path, seed: int) -> None:
    size = (repository / "model.safetensors").stat().st_size
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.speed = 1_000_000
        process = client.start(server, call())
        partial = client.folder / ".ditr" / "partial" / large(server).etag
        wanted = random.Random(seed).randrange(1, size // 2)
        until = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size >= wanted):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        here = partial.stat().st_size
        assert wanted <= here < size
        assert not any("model" in name or large(server).etag in name for name in client.files())
        server.faults.speed = None
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        last = server.bodies("/large/")[-1]
        assert (last.status, last.start, last.sent) == (206, here, size - here)
        assert f"model.safetensors resumes at byte {here}" in outcome.log


def test_servers_that_ignore_ranges_send_the_whole_file_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.ignores_ranges, server.faults.drops = True, deque([70, 400_000, 500_000])
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)


@pytest.mark.parametrize("left", ["garbage", "complete", pytest.param("longer", marks=pytest.mark.slow)])
def test_what_an_earlier_process_left_is_not_trusted(client: Client, repository: Path, left: str) -> None:
    content = (repository / "model.safetensors").read_bytes()
    found = {"garbage": bytes(500_000), "longer": content + b"more", "complete": content}[left]
    with HubServer({REPOSITORY: repository}) as server:
        partial = client.folder / ".ditr" / "partial" / large(server).etag
        partial.parent.mkdir(parents=True)
        partial.write_bytes(found)
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert len(server.bodies("/large/")) == {"garbage": 2, "longer": 1, "complete": 0}[left]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_wrong_hash_is_not_taken(client: Client, repository: Path, name: str) -> None:
    """SHA-256 for a large file, git's SHA-1 for a small one."""
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.only = name
        server.faults.corrupt = inf
        (refused,) = client.run(server, call(copies=2))
        assert refused.kind == "InputError" and refused.where == REPOSITORY
        assert f"{name} came 2 times with another hash than the hub names" in refused.fault
        assert "by hand" in refused.remedy
        assert len(server.bodies(name)) == 2
        assert not any(name in file for file in client.files())
        assert not any((client.folder / ".ditr" / "partial").iterdir())
        server.faults.corrupt = 1
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert len(server.bodies(name)) == 4
        assert f"copy 1 of {name} has the wrong hash" in outcome.log


def test_a_blob_that_was_damaged_later_is_downloaded_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        blob = (first.path / "model.safetensors").resolve()
        content = bytearray(blob.read_bytes())
        content[1000] ^= 1
        blob.write_bytes(content)
        (second,) = client.run(server)
        assert "has the wrong hash and is deleted" in second.log
        assert second.path == first.path
        assert_same(second.path, repository)
        blob.write_bytes(content[:-1])
        (offline,) = client.run(server, HF_HUB_OFFLINE="1")
        assert offline.kind == "Unreachable" and not blob.exists()


def test_passing_failures_are_tried_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.statuses = deque([503, 500])
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert outcome.log.count("trying again") == 2 and "503 Service Unavailable" in outcome.log
        server.faults.statuses = deque([429] * 10)
        server.faults.retry_after = 1
        patient, impatient = client.run(
            server,
            call("README.md", longest_pause=1.0),
            call("README.md", longest_pause=0.5),
        )
        assert "answers 429 Too Many Requests" in patient.fault and "3 failures in a row" in patient.fault
        assert patient.log.count("trying again in 1.0 s") == 2
        assert "asks to wait 1 s; given up" in impatient.fault
        assert len(server.faults.statuses) == 6


@pytest.mark.parametrize(
    "kind", ["body", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("head", "resolve"))]
)
def test_failures_at_each_step_are_tried_again(client: Client, repository: Path, kind: str) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.status_kinds = (kind,)
        server.faults.statuses = deque([502, 500])
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert outcome.log.count("trying again") == 2


def test_a_silent_hub_is_given_up(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.silence = 3.0
        (outcome,) = client.run(server, call(timeout=0.2, attempts=2))
        assert outcome.kind == "Unreachable" and "2 failures in a row" in outcome.fault
        assert "imeout" in outcome.fault
        assert client.files() == []


def test_a_hub_that_drips_is_given_up_but_its_drops_are_kept(client: Client, repository: Path) -> None:
    """There always comes a byte before the time limit of one read: a limit for the whole file ends this."""
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.speed = 5_000
        (outcome,) = client.run(server, call(("*.safetensors",), timeout=0.5, attempts=1, slowest=2_000_000.0))
        assert outcome.kind == "Unreachable" and "model.safetensors came too slowly" in outcome.fault
        partial = client.folder / ".ditr" / "partial" / large(server).etag
        assert 0 < partial.stat().st_size < 100_000 and client.files() == []
        server.faults.speed = None
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert server.bodies("/large/")[-1].start > 0


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_a_hub_that_cannot_be_reached(client: Client, repository: Path) -> None:
    endpoint = nobody()
    with HubServer({REPOSITORY: repository}) as server:
        (refused,) = client.run(server, HF_ENDPOINT=endpoint)
        assert refused.kind == "Unreachable" and refused.where == REPOSITORY
        assert "cannot be reached" in refused.fault and "3 failures in a row" in refused.fault
        for remedy in ("proxy", "HF_ENDPOINT", f"by hand from {endpoint}/{REPOSITORY}/tree/main", "give the folder"):
            assert remedy in refused.remedy
        (online,) = client.run(server, call(("config.json", "*.safetensors")))
        assert online.log.count("WARNING") == 0
        cached, more, offline, whole = (
            *client.run(server, call(("config.json", "*.safetensors")), call(), HF_ENDPOINT=endpoint),
            *client.run(server, call("config.json"), call(), HF_HUB_OFFLINE="1"),
        )
        assert cached.path == online.path
        assert "taking the copy in the cache, commit" in cached.log
        # parts/ was not fetched, and the commit is known to have it.
        assert more.kind == "Unreachable"
        assert offline.path == online.path / "config.json" and "HF_HUB_OFFLINE is set" in offline.log
        assert whole.kind == "Unreachable" and "HF_HUB_OFFLINE is set" in whole.fault


def test_a_full_commit_hash_needs_no_hub(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        commit = server.commit(REPOSITORY)
        (first, again) = client.run(server, call(revision=commit), call(revision=commit))
        asked = len(server.answers)
        (later,) = client.run(server, call(revision=commit))
        assert first.path == again.path == later.path and first.path.name == commit
        assert len(server.answers) == asked and server.count("api") == 1
        (other,) = client.run(server, call(revision="0" * 40))
        assert (
            "has no revision" in other.fault and "hub" in other.fault and f"{REPOSITORY}/commits/main" in other.remedy
        )


def test_a_branch_that_moved(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        (repository / "config.json").write_text('{"hidden_size": 768}')
        server.commit(REPOSITORY)
        # The hub answers, but the new file does not come: the old snapshot is still whole.
        server.faults.only, server.faults.drops = "config.json", deque([1, 0, 0, 0])
        (broken, moved) = client.run(server, call(), call())
        assert broken.path == first.path and "taking the copy in the cache" in broken.log
        assert moved.path != first.path
        assert_same(moved.path, repository)
        assert len(server.bodies("/large/")) == 1


def test_refusals_are_told_apart_and_not_tried_again(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository, "meta/gated": repository}) as server:
        server.faults.gated = frozenset({"meta/gated"})
        gated, unknown = client.run(
            server, call(repository="meta/gated"), call(repository="no/such"), call(revision="v2")
        )[:2]
        assert "licence is accepted (401 Unauthorized: Access to model meta/gated is restricted.)" in gated.fault
        for remedy in (f"{server.endpoint}/meta/gated", "hf auth login", "HF_TOKEN"):
            assert remedy in gated.remedy
        assert server.count("head", "gated") == 1 and server.count("body") == 0
        assert (
            "no such repository on the Hugging Face hub, or a private one (404 Not Found: Repository not found)"
            in unknown.fault
        )
        assert server.count("api", "no/such") == 1
        server.faults.hides_missing = True
        hidden, gated = client.run(
            server, call(repository="no/such"), call(repository="meta/gated"), HF_TOKEN="hf_without_licence"
        )
        assert (
            "or a private one (401 Unauthorized: Invalid username or password.)" in hidden.fault
            and "hf auth login" in hidden.remedy
        )
        assert "licence is accepted (403 Forbidden: " in gated.fault


def test_a_log_in_page_is_not_the_hub(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        (first,) = client.run(server)
        server.faults.login_page = True
        (cached,) = client.run(server)
        assert cached.path == first.path and "does not speak like the Hugging Face hub" in cached.log
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
        assert refused.kind == "InputError" and "no space left" in refused.fault and "HF_HOME" in refused.remedy
        assert str(client.home) in refused.fault
        assert server.count("body", "/large/") == 1
        (outcome,) = client.run(server)
        assert_same(outcome.path, repository)
        assert server.bodies("/large/")[-1].start == 300_000


def test_a_cache_that_cannot_be_made(client: Client, repository: Path) -> None:
    client.home.write_text("a file where the folder should be")
    with HubServer({REPOSITORY: repository}) as server:
        (refused,) = client.run(server)
        assert "cannot be used" in refused.fault and "HF_HOME" in refused.remedy


def test_processes_at_once_download_once(client: Client, repository: Path) -> None:
    with HubServer({REPOSITORY: repository}) as server:
        server.faults.speed = 1_000_000
        processes = [client.start(server, call()) for _ in range(2)]
        outcomes = [client.finish(process)[0] for process in processes]
        assert outcomes[0].path == outcomes[1].path
        assert_same(outcomes[0].path, repository)
        assert server.count("body") == 4


def test_unsafe_names_of_a_hub_are_refused(client: Client, repository: Path) -> None:
    (repository / r"..\evil.json").write_text("{}")
    with HubServer({REPOSITORY: repository}) as server:
        (refused,) = client.run(server)
        assert "unsafe name" in refused.fault and client.files() == []


@pytest.mark.parametrize(
    ("repository", "names", "revision"),
    [
        ("../model", ["config.json"], None),
        ("a/b/c", ["config.json"], None),
        ("a--b", ["config.json"], None),
        ("a/b-", ["config.json"], None),
        ("a/b", [], None),
        ("a/b", ["../config.json"], None),
        ("a/b", ["/etc/passwd"], None),
        ("a/b", ["folder//x"], None),
        ("a/b", ["C:x"], None),
        ("a/b", ["config.json"], "../../x"),
    ],
)
def test_arguments_are_checked_before_the_hub_is_asked(repository: str, names: list[str], revision: str | None) -> None:
    with pytest.raises(InputError, match=r"hub repository|no file|no name inside"):
        fetch_folder(repository, names, revision=revision)
