"""Entry point of `python -m gan_bench`, which is `gan-bench`."""

from gan_bench.cli import main

if __name__ == "__main__":
    main()
