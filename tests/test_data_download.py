"""Downloads from a local server: whatever happens on the way, the cache holds a right archive or nothing."""

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_files import answer, serving, sha256

from an_ref.data import DataError
from an_ref.data.download import fetch

ROOT = Path(__file__).parents[1]
NAME = "archive.tar.gz"
CONTENT = bytes(range(256)) * 4000  # 1 MB
# pooch leaves it to Python to close the socket of an answer that it did not read to its end.
pytestmark = [pytest.mark.usefixtures("local"), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def local(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    gc.collect()  # the sockets are closed here, and not in a test to which they do not belong


def fetch_it(address, cache, content=CONTENT):
    return fetch(NAME, len(content), sha256(content), address, cache)


def test_an_archive_is_downloaded_once_into_the_cache(tmp_path, capsys):
    cache = tmp_path / "not" / "there" / "yet"
    with serving(answer(CONTENT)) as (address, asked):
        for _ in range(2):
            path = fetch_it(address, cache)
            assert path == cache / NAME
            assert path.read_bytes() == CONTENT
    assert asked == [f"/~kriz/{NAME}"]
    assert list(cache.iterdir()) == [path]
    shown = capsys.readouterr()
    assert shown.err == f"downloading {address}/{NAME} (1 MB) into {cache}\n"
    assert shown.out == ""


def test_a_wrong_archive_in_the_cache_is_replaced(tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    with serving(answer(CONTENT)) as (address, _):
        assert fetch_it(address, tmp_path).read_bytes() == CONTENT


def test_the_cache_of_the_system_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / project)
    with serving(answer(CONTENT)) as (address, _):
        assert fetch_it(address, None) == tmp_path / "an_ref" / NAME


def test_other_files_of_the_cache_are_left_alone(tmp_path):
    """Only an old part of the same archive is removed: a young one may be in the hands of another process."""
    (tmp_path / "other.tar.gz").write_bytes(b"other")
    old, young = tmp_path / f"{NAME}.1.part", tmp_path / f"{NAME}.2.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 600,) * 2)
    with serving(answer(CONTENT)) as (address, _):
        path = fetch_it(address, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "other.tar.gz", young, path])


def fault(number):
    return lambda handler: handler.send_error(number)


def moved_away(handler):
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()


def hanging_up(handler):
    handler.wfile.write(b"no answer of HTTP\r\n")


def unsized(content):
    def respond(handler):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(content)

    return respond


def endless(handler):
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(bytes(1 << 16))
    except OSError:
        pass  # the other side has enough


FAULTS = {
    "cut": (answer(CONTENT[:300_000], len(CONTENT)), "the connection broke after "),
    "cut_at_once": (answer(b"", len(CONTENT)), "no connection to 127.0.0.1 ("),
    "cut_unsized": (unsized(CONTENT[:300_000]), "the connection ended after 300,000 of 1,024,000 bytes; try again"),
    "wrong": (
        answer(CONTENT[:-1] + b"x"),
        f"its sha256 is {sha256(CONTENT[:-1] + b'x')} and must be {sha256(CONTENT)}",
    ),
    "too_long": (answer(CONTENT + b"x"), "more came than the official 1,024,000 bytes; none were kept"),
    "endless": (endless, "more came than the official 1,024,000 bytes"),
    "not_found": (fault(404), "the server answers 404 Not Found"),
    "broken": (fault(503), "the server answers 503 Service Unavailable"),
    "round_and_round": (moved_away, "the server answers 302 Found"),
    "no_http": (hanging_up, "no connection to 127.0.0.1 ("),
}


@pytest.mark.parametrize("key", FAULTS)
def test_faults_of_the_server(key, tmp_path):
    respond, words = FAULTS[key]
    with serving(respond) as (address, _), pytest.raises(DataError) as caught:
        fetch_it(address, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{address}/{NAME}: ")
    assert words in message
    assert "--data emoji" in message
    assert "--data-dir" in message
    assert not list(tmp_path.iterdir())


def test_without_a_network(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError) as caught:
        fetch_it(f"http://127.0.0.1:{port}", tmp_path)
    assert str(caught.value) == (
        f"http://127.0.0.1:{port}/{NAME}: no connection to 127.0.0.1 (ConnectionError); work without it on the "
        f"embedded set (--data emoji), or give a copy of your own with --data-dir"
    )
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"not a folder")
    with pytest.raises(DataError, match=r"file.cache: the archive cannot be written here: \w.*--data-dir"):
        fetch_it("http://127.0.0.1:1", tmp_path / "file" / "cache")


CHILD = f"""
import resource, sys
from an_ref.data.download import fetch
if sys.argv[3] != "free":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
fetch({NAME!r}, {len(CONTENT)}, {sha256(CONTENT)!r}, sys.argv[1], sys.argv[2])
"""


def start(address, cache, limit="free"):
    command = [sys.executable, "-c", CHILD, address, str(cache), limit]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="limits and signals of POSIX")
def test_a_full_disk(tmp_path):
    with serving(answer(CONTENT)) as (address, _):
        child = start(address, tmp_path, "500000")
        _, error = child.communicate(timeout=60)
    assert f"DataError: {tmp_path}: the archive cannot be written here: File too large; work without" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="limits and signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill", "terminate", "ctrl_c"])
def test_a_process_ended_in_the_middle_leaves_nothing(tmp_path, how):
    children = []

    def respond(handler):
        answer(CONTENT[:600_000], len(CONTENT))(handler)
        time.sleep(0.3)  # for what was sent to arrive
        children[0].send_signal(how)
        children[0].wait(60)

    with serving(respond) as (address, asked):
        children.append(start(address, tmp_path))
        _, error = children[0].communicate(timeout=60)
    assert len(asked) == 1
    assert children[0].returncode == -how
    assert ("KeyboardInterrupt" in error) == (how == signal.SIGINT)
    assert not list(tmp_path.iterdir())


def test_a_stop_in_the_last_moment_leaves_nothing(tmp_path, monkeypatch):
    """Ctrl-C while the checked archive is copied to its place, and while it gets its name."""

    def stop(*_):
        raise KeyboardInterrupt

    for step in ("shutil.copyfileobj", "os.replace"):
        with monkeypatch.context() as patch, serving(answer(CONTENT)) as (address, _):
            patch.setattr(step, stop)
            with pytest.raises(KeyboardInterrupt):
                fetch_it(address, tmp_path)
        assert not list(tmp_path.iterdir())
