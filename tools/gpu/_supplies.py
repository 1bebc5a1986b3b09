"""Supplies of a proof on a machine without network: sources, wheels, weights and photographs, in two folders.

    a/prove.pyz  a/wheels/  a/inception.1               python3 a/prove.pyz a --out DIR
    b/prove.pyz  b/wheels/  b/inception.2  b/images.webp    python3 b/prove.pyz b --out DIR

The weights are split so that both folders have the same size. The first command stores its part in a temporary folder,
from which the second command reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLACE = Path(tempfile.gettempdir()) / "gan-bench-proof"
KEPT = PLACE / "inception.1"
IMAGES_FILE = "proof-images.npy"
IMAGES = 10_000
MIB = 2**20
LIMIT = 64.0  # MiB a command
LACKING = ("torch-fidelity", "POT==0.9.6.post1", "msgspec")
"""Packages that GPU machines with torch, pandas and pytest usually lack. Wheels of POT 0.9.7 have 31 MiB."""
PYTHON = "3.12"
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)] + ["manylinux2014_x86_64"]
SOURCES = ("gan_bench", "plugins", "benchmarks", "tools", "tests", "pyproject.toml", "docs/speed.md")

START = f"""\
import os, shutil, sys, tempfile, zipfile
from pathlib import Path

here = Path(sys.argv[0]).resolve()
sources = Path(tempfile.gettempdir()) / "{PLACE.name}" / "sources"
shutil.rmtree(sources, ignore_errors=True)
zipfile.ZipFile(here).extractall(sources)
script = str(sources / "tools" / "gpu" / "prove.py")
os.execv(sys.executable, [sys.executable, script, *sys.argv[1:], "--supplies", str(here.parent)])
"""

Report = Callable[[str], None]


# --- on the machine that prepares a bundle --------------------------------------------------------------------


def bundle(folder: Path, data: Path | None, packages: Sequence[str], report: Report = print) -> bool:
    """Write both folders and report their contents; return whether both are below the limit."""
    for name in ("a", "b"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    first, second = folder / "a", folder / "b"
    write_sources(first / "prove.pyz")
    shutil.copy(first / "prove.pyz", second)
    download_wheels(first / "wheels", packages)
    shutil.copytree(first / "wheels", second / "wheels")
    if data is not None:
        os.environ["GAN_BENCH_DATA"] = str(data)
    photographs = write_images(second / "images.webp", report)
    write_weights(first / "inception.1", second / "inception.2", photographs, report)
    return all([_report_on(each, report) for each in (first, second)])


def _report_on(folder: Path, report: Report) -> bool:
    """Report the contents of a folder; return whether it is below the limit."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files) / MIB
    fits = size < LIMIT
    report(f"{folder}: {size:.1f} MiB of {LIMIT:.0f}{'' if fits else ': TOO LARGE'}")
    for path in files:
        report(f"  {path.stat().st_size / MIB:6.1f}  {path.relative_to(folder)}")
    report(f"  python3 {folder / 'prove.pyz'} {folder.name} --out DIR")
    return fits


def write_sources(path: Path) -> None:
    """Write the project as a zip file that Python can run."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", *SOURCES], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                file.write(ROOT / name, name)
        file.writestr("__main__.py", START)


def download_wheels(folder: Path, packages: Sequence[str]) -> None:
    """Download wheels for the GPU machine: NAME==VERSION, or NAME in the version installed here."""
    folder.mkdir()
    if not packages:
        return
    wanted = [name if "==" in name else f"{name}=={metadata.version(name)}" for name in packages]
    system = [option for name in PLATFORMS for option in ("--platform", name)]
    options = ["-q", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *system]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "-d", str(folder), *wanted], check=True)


def write_images(path: Path, report: Report) -> int:
    """Write the first training images of CIFAR-10 as one lossless picture; return its size, or 0 without the data."""
    import numpy as np
    from gan_bench_zoo.datasets.cifar10 import CIFAR10
    from PIL import Image

    dataset = CIFAR10(CIFAR10.Params())
    missing = dataset.missing()
    if missing is not None:
        report(f"no photographs, using noise: {missing}")
        return 0
    x, _ = next(iter(dataset.recipe("train").parts()))
    tiles = x[:IMAGES].reshape(100, 100, 3, 32, 32).transpose(0, 3, 1, 4, 2)
    Image.fromarray(np.ascontiguousarray(tiles.reshape(3200, 3200, 3))).save(path, lossless=True, quality=60, method=4)
    return path.stat().st_size


def write_weights(first: Path, second: Path, beside: int, report: Report) -> None:
    """Write the weights in two parts, the second smaller by about `beside` bytes, the size of the photographs."""
    from gan_bench_zoo.metrics._inception import weights_file

    source = weights_file()
    if source is None:
        report("no Inception weights, timing features with random ones")
        return
    packed = pack(source.name, source.read_bytes())
    cut = min(len(packed), (len(packed) + beside) // 2)
    first.write_bytes(packed[:cut])
    second.write_bytes(packed[cut:])


def pack(name: str, content: bytes) -> bytes:
    """Compress a file of float32 numbers, with bytes of equal significance grouped."""
    import numpy as np

    padded = np.frombuffer(content + b"\0" * (-len(content) % 4), np.uint8)
    head = {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps(head).encode() + b"\n" + zlib.compress(padded.reshape(-1, 4).T.tobytes(), 6)


def unpacked(packed: bytes) -> tuple[str, bytes]:
    """Return the name and the content of a packed file. Raises ValueError if it is damaged."""
    import numpy as np

    head, _, body = packed.partition(b"\n")
    try:
        facts = json.loads(head)
        content = np.frombuffer(zlib.decompress(body), np.uint8).reshape(4, -1).T.tobytes()[: facts["size"]]
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the parts do not fit together ({error})") from error
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise ValueError("the parts do not fit together (SHA-256)")
    return facts["name"], content


# --- on the GPU machine ---------------------------------------------------------------------------------------


def install(folder: Path, supplies: Path | None) -> None:
    """Make the sources and the supplies available to this process and its children.

    Wheels and data are copied into `folder`. The first command's part of the weights is kept for the second command.
    """
    site, data = folder / "site", folder / "data"
    site.mkdir()
    for wheel in sorted((supplies / "wheels").glob("*.whl")) if supplies else ():
        zipfile.ZipFile(wheel).extractall(site)
    declare(site)
    places = [str(site), str(ROOT), str(ROOT / "plugins")]
    sys.path[:0] = places
    for name in ("JAX", "CUPY", "TENSORFLOW"):  # POT would import them, and they reserve GPU memory
        os.environ[f"POT_BACKEND_DISABLE_{name}"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])
    if supplies is not None:
        data.mkdir()
        os.environ["GAN_BENCH_DATA"] = str(data)
        os.environ["GAN_BENCH_PROOF_SUPPLIES"] = str(supplies)
        if (supplies / "inception.1").is_file():
            PLACE.mkdir(exist_ok=True)
            shutil.copy(supplies / "inception.1", KEPT)


def declare(site: Path) -> None:
    """Write metadata of gan-bench, which plugin discovery needs, unless the package is installed."""
    try:
        metadata.version("gan-bench")
    except metadata.PackageNotFoundError:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        folder = site / f"gan_bench-{project['version']}.dist-info"
        folder.mkdir(exist_ok=True)
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (folder / "METADATA").write_text(head, encoding="utf-8")
        lines = [f"{name} = {value}" for name, value in project["entry-points"]["gan_bench"].items()]
        (folder / "entry_points.txt").write_text("\n".join(["[gan_bench]", *lines, ""]), encoding="utf-8")


def unpack(data: Path) -> dict[str, Any]:
    """Join the weights and unpack the photographs into a data folder; return a report of both."""
    named = os.environ.get("GAN_BENCH_PROOF_SUPPLIES")
    supplies = Path(named) if named else None
    found: dict[str, Any] = {"weights": "none", "photographs": "none: noise"}
    if supplies is None:
        return found
    second = supplies / "inception.2"
    if second.is_file() and KEPT.is_file():
        name, content = unpacked(KEPT.read_bytes() + second.read_bytes())
        (data / name).write_bytes(content)
        found["weights"] = name
    elif second.is_file():
        found["weights"] = "random: the first command's part is missing"
    if (supplies / "images.webp").is_file():
        found["photographs"] = unpack_images(supplies / "images.webp", data / IMAGES_FILE)
    return found


def unpack_images(source: Path, target: Path) -> int:
    """Write the tiles of a picture as an array (n, 3, 32, 32); return n."""
    import numpy as np
    from PIL import Image

    with Image.open(source) as opened:
        mosaic = np.asarray(opened.convert("RGB"))
    across = mosaic.shape[1] // 32
    tiles = mosaic.reshape(-1, 32, across, 32, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)
    np.save(target, np.ascontiguousarray(tiles))
    return len(tiles)
