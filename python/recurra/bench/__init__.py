"""recurra against the NumPy way of doing it, and against its peers: the same answers, then the time of a call.

`python -m recurra` runs it. The parts: `problem` (a row), `contestants` and the peer modules (who takes part), `worker`
(each in its own process), `race` (answers, then turns), `budget` (how many), `table`, `plot` and `cli`.
"""
