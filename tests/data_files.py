"""Small files in the formats that an_ref.data reads, whole or damaged in one place, and a local server for them."""

import gzip
import hashlib
import io
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from an_ref.data.cifar import FORMATS, PIXELS

RECORDS = 20  # instead of 10,000


def record_files(name, seed=0):
    """The .bin files of "cifar10" or "cifar100" as a dict of bytearrays, with random labels and pixels."""
    rng, form = np.random.default_rng(seed), FORMATS[name]
    files = {}
    for file in (*form.train, form.test):
        count = RECORDS if file == form.test else 5 * RECORDS // len(form.train)
        columns = [rng.integers(0, values, (count, 1)) for _, values in form.labels]
        records = np.hstack([*columns, rng.integers(0, 256, (count, PIXELS))]).astype(np.uint8)
        files[file] = bytearray(records.tobytes())
    return files


def write_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def member(name, content=b"", **fields):
    """A member of an archive: (header, content)."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, bytes(content)


def archive_members(name, files=None):
    """The members of the official archive: the folder, a readme, and the .bin files."""
    folder = FORMATS[name].folder
    start = [member(folder, type=tarfile.DIRTYPE), member(f"{folder}/readme.html", b"<html></html>")]
    return start + [member(f"{folder}/{file}", content) for file, content in (files or record_files(name)).items()]


def packed(members, compress=gzip.compress):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return compress(buffer.getvalue())


def image_folder(root, classes=("cat", "dog"), splits=("train", "test"), count=2, suffix=".png"):
    """A folder with noise for images, `count` in each class."""
    rng = np.random.default_rng(0)
    for split in splits:
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 256, (6 + index, 9, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{index}{suffix}")
    return root


def snapshot(root):
    """What lies under `root`: names, contents, and times of change."""
    return {
        str(path.relative_to(root)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in root.rglob("*")
    }


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serving(respond):
    """Run a server in which respond(handler) answers each request; yield its address and the paths asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            respond(self)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/~kriz", asked
        finally:
            server.shutdown()
            thread.join()


def answer(content, length=None):
    """An answer with `content`, which says that it has `length` bytes."""

    def respond(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return respond
