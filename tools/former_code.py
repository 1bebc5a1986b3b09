"""Keep the keys of runs after a change of a plugin's module that cannot change a trained value.

    python tools/former_code.py plugins/gan_bench_zoo/datasets/image_folder.py            compared with HEAD
    python tools/former_code.py --since v0.9 plugins/gan_bench_zoo/datasets/image_folder.py

Suited are stricter checks and other messages. If valid data would be read, drawn or trained differently, the keys have
to change. The record is written to `former_code.json` beside the module; see `gan_bench/plugins/code_hash.py`.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from gan_bench.plugins.code_hash import record_former_code

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Record the code of each file at a revision as its former code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="changed module of a plugin")
    parser.add_argument("--since", default="HEAD", metavar="REVISION", help="revision of git before the change")
    options = parser.parse_args()
    for file in options.files:
        place = file.resolve().relative_to(ROOT).as_posix()
        command = ["git", "-C", str(ROOT), "show", f"{options.since}:{place}"]
        record_former_code(file.resolve(), subprocess.run(command, check=True, capture_output=True).stdout)


if __name__ == "__main__":
    main()
