"""python -m recurra: how fast is it here? See `recurra.bench`."""

import sys

if __name__ == "__main__":
    try:
        from recurra.bench.cli import main  # here, since Ctrl-C may come as early as that

        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
