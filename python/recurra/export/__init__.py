"""Models as one C header, for programs without Python: see docs/export.md."""
