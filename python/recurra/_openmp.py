"""Imported before the compiled half: tells GNU's OpenMP not to keep waiting threads spinning.

By itself it has them spin for milliseconds. On a machine with something else to do, a training loop on two threads
then took 4 to 9 times as long as on one. It reads the variable once, when it is loaded; the user's own
setting stays.
"""

import os

if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        from . import _core  # noqa: F401
    finally:
        del os.environ["GOMP_SPINCOUNT"]  # it is nothing for child processes to inherit
