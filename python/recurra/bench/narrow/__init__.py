"""`python -m recurra --only step stream narrow`: single steps, streams, and sequences with narrow weights.

The protocol is in benchmarks/README.md.
"""
