"""Makes the gallery's pictures: smaller copies of examples/output/*.png in docs/images/, by `python docs/shrink.py`.

At most 640 pixels wide and below 60 kB each, with as many colours as that allows. Pillow comes with matplotlib.
"""

import io
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
WIDTH, BYTES = 640, 60_000


def shrunk(path):
    """The bytes of the smaller PNG."""
    picture = Image.open(path).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    for colours in (256, 128, 64, 32, 16, 8):
        stream = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
        if len(stream.getvalue()) < BYTES:
            return stream.getvalue()
    raise ValueError(f"{path}: expected a picture that fits into {BYTES} bytes with 8 colours")


def main():
    """Shrinks all there are."""
    target = ROOT / "docs" / "images"
    target.mkdir(exist_ok=True)
    for path in sorted((ROOT / "examples" / "output").glob("*.png")):
        (target / path.name).write_bytes(shrunk(path))


if __name__ == "__main__":
    main()
