"""`python -m recurra doctor`: is this installation sound, and if not, what to do? docs/doctor.md says how to read it.

`facts` says what machine this is. A check is a file with a function that returns `Finding`s: `bits` (of the `networks`,
against hashes.json), `speed`, `threads`, `openmp`, `versions`. `cli` runs them and prints.
"""
