"""Give hostile files to the commands that read them, and count what goes wrong.

    python tools/campaigns/files.py              all files: some minutes
    python tools/campaigns/files.py --quick      every eighth, without those that torch reads: half a minute
    python tools/campaigns/files.py --only bomb  those with this text in their names

The files are samples, arrays, archives, batches, folders of images, prepared sets, weights, CSVs and checkpoints. Each
is damaged, of another kind, a pipe, a link, or made to exhaust memory or time. Four numbers are counted, and all must
be 0: tracebacks, commands that did not end, exit codes other than 0 and 2, and commands that used too much memory. The
exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LIMIT = 60.0
"""Seconds after which a command counts as one that did not end."""

MEMORY = 2**31
"""Bytes of memory that a command may use."""

EVERY = 8
"""Of so many files, the first is used with --quick."""

RNG = np.random.default_rng(0)
Write = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """A hostile file, and the command that reads it; `{}` in an argument is the path of the file."""

    name: str
    command: tuple[str, ...]
    write: Write
    slow: bool = False  # needs torch


# --- bytes --------------------------------------------------------------------------------------------------


def npy(x: Any) -> bytes:
    """Bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, x, allow_pickle=True)
    return buffer.getvalue()


def npz(*, compressed: bool = False, **arrays: Any) -> bytes:
    """Bytes of a `.npz` file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def header(shape: Any, dtype: Any = "<f8") -> bytes:
    """Header of a `.npy` file with any shape and type."""
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    """Archive of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def zip_bomb(path: Path) -> None:
    """Write an archive of some megabytes with a gigabyte of zeros."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("samples.npy", "w", force_zip64=True) as file,
    ):
        file.write(header((2**26, 2)))
        for _ in range(2**6):
            file.write(bytes(2**24))


def damaged(good: bytes, count: int, *, within: int = 400) -> Iterator[tuple[str, bytes]]:
    """Cut and changed copies of good bytes."""
    yield "empty", b""
    yield "cut in half", good[: len(good) // 2]
    yield "cut at its end", good[:-1]
    yield "with more at its end", good + b"more"
    yield "of zeros", bytes(len(good))
    yield "of noise", RNG.bytes(len(good))
    for number in range(count):
        copy = bytearray(good)
        for _ in range(1 + number % 4):
            copy[RNG.integers(0, min(within, len(copy)))] = RNG.integers(0, 256)
        yield f"changed, {number}", bytes(copy)


def strange() -> Iterator[tuple[str, Write]]:
    """Pipes, folders and links, and files of extreme sizes."""
    yield "pipe", os.mkfifo
    yield "folder", Path.mkdir
    yield "link to nothing", lambda path: path.symlink_to("nowhere")
    yield "link to itself", lambda path: path.symlink_to(path.name)
    yield "link to a device", lambda path: path.symlink_to("/dev/zero")
    yield "sparse terabyte", _sparse


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


# --- samples ------------------------------------------------------------------------------------------------

POINTS = ("score", "{}", "--dataset", "ring8", "--metrics", "modes,high_quality,sliced_wasserstein")
PICTURES = ("score", "{}", "--dataset", "shapes", "--metrics", "modes,high_quality")


def samples() -> Iterator[Case]:
    """Files of samples."""
    x, index = RNG.normal(size=(60, 2)), np.arange(60) % 3
    for name, content in damaged(npy(x), 14, within=128):
        yield Case(f"npy, {name}", POINTS, _bytes(content))
    for name, content in damaged(npz(samples=x, generator=index), 14):
        yield Case(f"npz, {name}", POINTS, _bytes(content))
    for name, content in damaged(npz(samples=x, compressed=True), 6):
        yield Case(f"compressed npz, {name}", POINTS, _bytes(content))
    for name, write in strange():
        yield Case(f"samples, {name}", POINTS, write)
    shapes: list[Any] = [(10**12, 2), (2, 10**30), (-1, 2), (60, 2.0), "60", (10**9,) * 9, (True, 2), (60, 2) * 40, ()]
    for shape in shapes:
        yield Case(f"npy, shape {str(shape)[:30]}", POINTS, _bytes(header(shape) + x.tobytes()))
        yield Case(f"npz, shape {str(shape)[:30]}", POINTS, _bytes(zipped(samples=header(shape) + x.tobytes())))
    for dtype in ("|O", "V0", "<U9", "<M8[s]", [("a", "O")], [("a", "<f8")], "<c16", "|b1", "x", ">f2", "<f16", "<i8"):
        yield Case(f"npy, type {dtype}", POINTS, _bytes(header((60, 2), dtype) + x.tobytes()))
    for name, array in _points(x):
        yield Case(f"points, {name}", POINTS, _bytes(npy(array)))
    for name, array in _indices():
        yield Case(f"generator, {name}", POINTS, _bytes(npz(samples=x, generator=array)))
    yield Case("npz bomb", POINTS, zip_bomb)
    yield Case("npz of a thousand arrays", POINTS, _bytes(zipped(**{f"x{n}": b"" for n in range(1000)})))
    yield Case("pickle as npy", POINTS, _bytes(pickle.dumps({"samples": 1})))
    yield Case("csv as npy", POINTS, _bytes(b"x,y\n1,2\n"))
    yield Case("array of objects", POINTS, _bytes(npy(np.array([{}, _Call(os.system, "exit 9")], dtype=object))))
    for name, array in _pictures():
        yield Case(f"pictures, {name}", PICTURES, _bytes(npy(array)), slow=True)


def _points(x: Any) -> Iterator[tuple[str, Any]]:
    yield from (("of NaN", x * np.nan), ("infinite", x * np.inf), ("with one NaN", np.where(x == x[3, 1], np.nan, x)))
    yield from (("beyond float32", x * 1e300), ("subnormal", x * 1e-310), ("far", x + 1e30), ("equal", x * 0))
    yield from (("none", x[:0]), ("one", x[:1]), ("scalar", np.float64(1)), ("of another shape", x.reshape(30, 4)))
    yield from (("text", x.astype(str)), ("half", x.astype(np.float16)), ("Fortran", np.asfortranarray(x)))


def _indices() -> Iterator[tuple[str, Any]]:
    index = np.arange(60)
    yield from (("from 1", index % 3 + 1), ("negative", index - 1), ("huge", index + 2**62), ("floats", index / 2))
    yield from (
        ("of another length", index[:7]),
        ("unsigned", index.astype(np.uint64) + np.uint64(2**63)),
        ("text", index.astype(str)),
    )


def _pictures() -> Iterator[tuple[str, Any]]:
    x = RNG.integers(0, 256, (20, 3, 28, 28), dtype=np.uint8)
    yield from (("of 0 and 1", x // 200), ("from 0 to 1", x / 255), ("from 0 to 255", x / 1.0), ("of NaN", x * np.nan))
    yield from (("channels last", x.transpose(0, 2, 3, 1)), ("grey", x[:, :1]), ("int16", x.astype(np.int16)))
    yield from (("rounded", x / 127.5 - 1 + 1e-4), ("black", x * 0), ("none", x[:0]))


# --- pickles ------------------------------------------------------------------------------------------------


class _Call:
    """Object that is pickled as a call."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.reduced = call, arguments

    def __reduce__(self) -> Any:
        return self.reduced


BATCH = ("score", "SAMPLES", "--dataset", "imagenet32", "--metrics", "fid", "--set", "path={}")
MNIST = ("score", "SAMPLES", "--dataset", "mnist", "--metrics", "modes", "--data-root", "{}")


def batches() -> Iterator[Case]:
    """Folders of pickled batches, and of idx files."""
    x = RNG.integers(0, 256, (3, 3072), dtype=np.uint8)
    good = pickle.dumps({"data": x, "labels": [1, 2, 3]}, 2)
    values: dict[str, Any] = {
        "a command": _Call(os.system, "exit 9"),
        "an array at a pointer": _Call(np.ndarray, (1,), "O", (0x4141414141414141).to_bytes(8, "little")),
        "a huge array": _Call(np.ndarray, (2**34,), "u1"),
        "objects": np.array([[{}]], dtype=object),
        "floats": x / 2,
        "nothing": None,
    }
    for name, value in values.items():
        yield Case(f"batch with {name}", BATCH, _batch(pickle.dumps({"data": value, "labels": [1]}, 4)))
    for name, content in _programs():
        yield Case(f"batch with {name}", BATCH, _batch(content))
    for name, content in damaged(good, 10, within=len(good)):
        yield Case(f"batch, {name}", BATCH, _batch(content))
    for name, content in damaged(npz(data=x, labels=np.array([1, 2, 3])), 5):
        yield Case(f"npz batch, {name}", BATCH, _batch(content, ".npz"))
    yield Case("npz batch, bomb", BATCH, _batch(b"", ".npz", zip_bomb))
    for name, write in strange():
        yield Case(f"batch, {name}", BATCH, _batch(b"", "", write))
    head = bytes((0, 0, 8, 3))
    for name, content in {
        "of terabytes": head + struct.pack(">3I", *[2**32 - 1] * 3),
        "of 255 dimensions": bytes((0, 0, 8, 255)) + b"\xff" * 1020,
        "cut": head + struct.pack(">3I", 60_000, 28, 28) + b"1234",
        "of floats": bytes((0, 0, 13, 3)),
        "empty": b"",
    }.items():
        yield Case(f"idx file {name}", MNIST, _idx(content, ""))
        yield Case(f"packed idx file {name}", MNIST, _idx(gzip.compress(content), ".gz"))
    yield Case("packed idx file, bomb", MNIST, _idx(b"", ".gz", _gzip_bomb))
    yield Case("idx file, sparse terabyte", MNIST, _idx(b"", "", _sparse))


def _programs() -> Iterator[tuple[str, bytes]]:
    """Pickles that would need exponential time or memory."""
    yield "a key of tuples", b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s."
    nested = b"]q\x000" + b"](h\x00h\x00eq\x000" * 60 + b"h\x00"
    yield "nested lists", b"\x80\x02}X\x04\x00\x00\x00data" + nested + b"s."
    yield "nested labels", b"\x80\x02}X\x06\x00\x00\x00labels" + nested + b"s."
    yield "a huge memo", b"\x80\x02}r\xff\xff\xff\xff."
    yield "a huge bytearray", b"\x80\x05}K\x01\x96" + (2**40).to_bytes(8, "little") + b"s."
    text = b"X" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\x000X\x06\x00\x00\x00latin1q\x010"
    yield (
        "text encoded often",
        b"\x80\x02}K\x01]" + text + b"c_codecs\nencode\nq\x020" + b"h\x02h\x00h\x01\x86Ra" * 4000 + b"s.",
    )
    yield "a persistent object", b"}K\x01Pfile\ns."
    yield "a loop", b"\x80\x02}q\x00K\x01h\x00s."


def _batch(content: bytes, ending: str = "", write: Write | None = None) -> Write:
    def folder(path: Path) -> None:
        path.mkdir()
        (write or _bytes(content))(path / f"train_data_batch_1{ending}")
        for number in range(2, 11):
            (path / f"train_data_batch_{number}").write_bytes(b"")
        (path / "val_data").write_bytes(b"")

    return folder


def _gzip_bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(bytes((0, 0, 8, 1)) + struct.pack(">I", 100))
        for _ in range(2**5):
            file.write(bytes(2**24))


def _idx(content: bytes, ending: str, write: Write | None = None) -> Write:
    def folder(path: Path) -> None:
        raw = path / "MNIST" / "raw"
        raw.mkdir(parents=True)
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (write or _bytes(content))(raw / f"{name}-ubyte{ending}")

    return folder


# --- images -------------------------------------------------------------------------------------------------

IMAGES = ("score", "SAMPLES", "--dataset", "image-folder", "--metrics", "fid", "--set", "path={}", "--set", "size=8")


def images() -> Iterator[Case]:
    """Folders with one hostile image among good ones."""
    picture = Image.fromarray(RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    for ending, kind in (("png", "PNG"), ("jpg", "JPEG"), ("gif", "GIF"), ("bmp", "BMP"), ("webp", "WEBP")):
        for name, content in damaged(_image(picture, kind), 3, within=200):
            yield Case(f"{kind} image, {name}", IMAGES, _folder(f"x.{ending}", _bytes(content)))
    for name, write in strange():
        yield Case(f"image, {name}", IMAGES, _folder("x.png", write))
    for name, mode in (("of 16 bits", "I;16"), ("of floats", "F"), ("of CMYK", "CMYK"), ("with alpha", "RGBA")):
        yield Case(f"image {name}", IMAGES, _folder("x.tif", _saved(mode, 20, "TIFF")))
    yield Case("image, bomb", IMAGES, _folder("x.png", _saved("RGB", 13_000, "PNG")))
    yield Case("image, larger bomb", IMAGES, _folder("x.png", _bytes(_large_png())))
    yield Case("image with another ending", IMAGES, _folder("x.png", _bytes(_image(picture, "JPEG"))))
    frames = [Image.new("RGB", (8, 8), (n % 256, 0, 0)) for n in range(300)]
    moving = io.BytesIO()
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    yield Case("animation", IMAGES, _folder("x.gif", _bytes(moving.getvalue())))
    for name in ("caf\udce9.png", "a\x1b[2J.png", "\u202e.png", "-x.png", ".hidden.png", "x.PNG", "x"):
        yield Case(f"image with the name {name!a}", IMAGES, _folder(name, _bytes(_image(picture, "PNG"))))
        yield Case(f"broken image with the name {name!a}", IMAGES, _folder(name, _bytes(b"broken")))


def _image(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def _saved(mode: str, side: int, kind: str) -> Write:
    return lambda path: Image.new(mode, (side, side)).save(path, kind)


def _large_png() -> bytes:
    """Header of an image of 4 petabytes."""
    content = bytearray(_image(Image.new("RGB", (8, 8)), "PNG"))
    content[16:24] = struct.pack(">II", 2**25, 2**25)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def _folder(name: str, write: Write) -> Write:
    def folder(path: Path) -> None:
        path.mkdir()
        for number in range(12):
            Image.new("RGB", (9, 9), (20 * number, 0, 0)).save(path / f"{number}.png")
        write(path / name)

    return folder


# --- what gan-bench writes ----------------------------------------------------------------------------------

CHECK = ("data", "check", "--data-root", "{}")
TABLE = ("table", "{}/results.csv")


def prepared() -> Iterator[Case]:
    """Prepared sets, weights and tables."""
    record = {
        "format": 1,
        "dataset": "mnist",
        "settings": {},
        "sources": {},
        "count": 1,
        "shape": [1, 2, 2],
        "files": {},
    }
    values: list[tuple[str, Any]] = [
        ("a list", []), ("a text", "x"), ("nothing", None), ("a number", 1e308),
        ("another format", record | {"format": 2}),
        ("no count", {**record, "count": None}), ("a huge count", record | {"count": 10**30}),
        ("a shape of text", record | {"shape": "abc"}), ("files of numbers", record | {"files": {"images.npy": 3}}),
        ("files elsewhere", record | {"files": {"../../x": {"sha256": "", "bytes": 1, "mtime_ns": 1}}}),
    ]  # fmt: skip
    for name, value in values:
        yield Case(f"prepared set, {name}", CHECK, _prepared(json.dumps(value).encode()), slow=True)
    for name, content in (("nested", b"[" * 10**5), ("not UTF-8", b"\xff\xfe"), ("infinite", b"1e999"), ("empty", b"")):
        yield Case(f"prepared set, {name}", CHECK, _prepared(content), slow=True)
    for name in ("weights-inception-2015-12-05-6726825d.pth", "inception-2015-12-05-trunk.pth"):
        for kind, content in (
            ("empty", b""),
            ("of noise", RNG.bytes(500)),
            ("a pickle", pickle.dumps(_Call(os.system, "exit 9"))),
        ):
            yield Case(f"{name}, {kind}", CHECK, _weights(name, content), slow=True)
    table = b"model,dataset,seed,iteration,metric,generator,value,n,version\nGAN,ring8,0,10,modes,,8,100,1\n"
    for name, content in damaged(table, 8, within=len(table)):
        yield Case(f"csv, {name}", TABLE, _csv(content))
    for name, content in (
        ("nul", b"\0" * 99),
        ("one field", b"a" * 10**6),
        ("quotes", b'"' * 999),
        ("not UTF-8", b"\xff,\xfe\n"),
    ):
        yield Case(f"csv, {name}", TABLE, _csv(content))


def checkpoints(folder: Path) -> Iterator[Case]:
    """Checkpoints of a stored run."""
    import torch

    (run,) = folder.glob("*/runs/*-gan-*")
    name = max(path.name for path in run.glob("checkpoint-*.pt"))
    content = (run / name).read_bytes()
    hostile = io.BytesIO()
    torch.save({"trainer": _Call(os.system, "exit 9")}, hostile)
    files = [*damaged(content, 6, within=len(content)), ("with a command", hostile.getvalue())]
    for kind, changed in files:
        yield Case(f"checkpoint, {kind}", ("sample", "{}", "--out", "{}.npz"), _run(run, name, changed), slow=True)


def _run(run: Path, name: str, content: bytes) -> Write:
    def folder(path: Path) -> None:
        shutil.copytree(run, path)
        for checkpoint in path.glob("checkpoint-*.pt"):
            checkpoint.unlink()
        (path / name).write_bytes(content)

    return folder


def _prepared(content: bytes) -> Write:
    def folder(path: Path) -> None:
        (path / "prepared" / "mnist-28-train").mkdir(parents=True)
        (path / "prepared" / "mnist-28-train" / "prepared.json").write_bytes(content)
        (path / "prepared" / "mnist-28-train" / "images.npy").write_bytes(header((10**12, 1, 28, 28), "|u1"))

    return folder


def _weights(name: str, content: bytes) -> Write:
    def folder(path: Path) -> None:
        for place in (path, path / "inception", path / "cache" / "inception"):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)

    return folder


def _csv(content: bytes) -> Write:
    def folder(path: Path) -> None:
        path.mkdir()
        (path / "results.csv").write_bytes(content)

    return folder


def _bytes(content: bytes) -> Write:
    return lambda path: path.write_bytes(content)


# --- commands -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """End of a command."""

    code: int | None  # None: it did not end
    output: str
    memory: int  # bytes at the peak

    @property
    def faults(self) -> list[str]:
        """Kinds of faults, of those that are counted."""
        found = {
            "traceback": "Traceback (most recent call last)" in self.output,
            "hang": self.code is None,
            "exit code": self.code not in (0, 2, None),
            "memory": self.memory > MEMORY,
        }
        return [kind for kind, is_so in found.items() if is_so]


def call(arguments: Sequence[str], log: Path) -> Outcome:
    """Execute a command in a fork of this process, which has imported the libraries."""
    child = os.fork()
    if child == 0:
        _child(arguments, log)
    until = time.monotonic() + LIMIT
    code: int | None = None
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            break
        time.sleep(0.005)
    return Outcome(code, log.read_text(encoding="utf-8", errors="replace"), usage.ru_maxrss * 1024)


def _child(arguments: Sequence[str], log: Path) -> None:
    """Execute `gan-bench` with its output in a file, and exit as it does."""
    code = 1
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        sys.argv = ["gan-bench", *arguments]
        from gan_bench.cli import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def cases(folder: Path, *, quick: bool) -> list[Case]:
    """All hostile files, or some."""
    found = [*samples(), *batches(), *images(), *prepared()]
    if quick:
        return [case for case in found if not case.slow][::EVERY]
    benchmark = folder / "tiny.toml"
    benchmark.write_text(BENCHMARK, encoding="utf-8")
    command = [sys.executable, "-m", "gan_bench", "run", str(benchmark), "--results", str(folder / "results")]
    subprocess.run(command, check=True, capture_output=True)
    return [*found, *checkpoints(folder / "results")]


BENCHMARK = """\
name = "tiny"
seeds = 1
[protocol]
iterations = 4
batch = 8
fakes = 8
latent_size = 4
network = "mlp"
[evaluation]
samples = 50
metrics = ["modes"]
[[dataset]]
plugin = "ring8"
[[model]]
plugin = "gan"
"""


def run(chosen: Sequence[Case], folder: Path) -> Counter[str]:
    """Execute the commands, print each fault, and return the number of each kind."""
    import gan_bench.cli.data
    import gan_bench.cli.score
    import gan_bench.cli.table  # noqa: F401 - imported once, before forks
    from gan_bench.plugins.discovery import load_plugins

    load_plugins(kinds=("datasets", "metrics"))
    good = folder / "good.npy"
    np.save(good, np.zeros((30, 3, 32, 32), np.uint8))
    os.environ["GAN_BENCH_DATA"] = str(folder / "data")
    faults: Counter[str] = Counter()
    for number, case in enumerate(chosen):
        path = folder / f"case{number}"
        case.write(path)
        texts = {"SAMPLES": str(good)}
        arguments = [texts.get(each, each).replace("{}", str(path)) for each in case.command]
        outcome = call(arguments, folder / "log.txt")
        for kind in outcome.faults:
            faults[kind] += 1
            sys.stdout.write(
                f"{kind}: {case.name}: code {outcome.code}, {outcome.memory >> 20} MB\n{outcome.output[-2000:]}\n"
            )
        _remove(path)
    return faults


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def main() -> None:
    """Execute the campaign and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="use some of the files, for CI")
    parser.add_argument("--only", metavar="TEXT", default="", help="use files with this text in their names")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        began = time.monotonic()
        chosen = [case for case in cases(Path(name), quick=options.quick) if options.only in case.name]
        faults = run(chosen, Path(name))
        counts = ", ".join(f"{kind} {faults[kind]}" for kind in ("traceback", "hang", "exit code", "memory"))
        sys.stdout.write(f"{len(chosen)} files in {time.monotonic() - began:.0f} s; faults: {counts}\n")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
