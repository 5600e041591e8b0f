"""python -m recurra: how fast is it here? See `recurra.bench`. python -m recurra doctor: see `recurra.doctor`."""

import os
import sys

if __name__ == "__main__":
    try:
        # Within, since Ctrl-C may come as early as that.
        if sys.argv[1:2] == ["doctor"]:
            from recurra.doctor.cli import main as doctor

            sys.exit(doctor(sys.argv[2:]))
        from recurra.bench.cli import main

        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # as in `python -m recurra doctor | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains when it flushes at exit
        sys.exit(1)
    except OSError as error:  # of an output that can't be written
        print(f"error: {error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
