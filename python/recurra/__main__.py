"""python -m recurra: how fast is it here? See `recurra.bench`."""

import sys

from recurra.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
