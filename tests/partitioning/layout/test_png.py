"""PNG files against Pillow."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from partitioning.layout.png import encode_png


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (300, 7)])
def test_pillow_decodes_every_element(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    with Image.open(BytesIO(encode_png(picture))) as read:
        read.verify()
    with Image.open(BytesIO(encode_png(picture))) as read:
        assert read.mode == "RGB"
        assert np.array_equal(np.asarray(read), picture)
