"""Photos of every strange kind, and files that are none."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jewelenh.errors import ImageError
from jewelenh.images import (
    Photo,
    decode,
    encode,
    encode_png,
    from_signed,
    from_unit,
    n_frames_of,
    read_photo,
    resize,
    to_signed,
    to_uint8,
    to_unit,
)

RGB = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
ALPHA = np.random.default_rng(1).integers(0, 256, (6, 9), dtype=np.uint8)
DEEP = np.random.default_rng(2).integers(0, 65536, (6, 9, 3), dtype=np.uint16)


def stored(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_kinds_decode_to_what_was_stored(kind):
    photo = decode(stored(Image.fromarray(RGB), kind))
    assert np.array_equal(photo.pixels, RGB)
    assert photo.alpha is None
    assert not photo.is_grey
    assert photo.size == (6, 9)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_kept_apart(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    photo = decode(stored(Image.fromarray(np.dstack([RGB, ALPHA])), kind, **options))
    assert np.array_equal(photo.pixels, RGB)
    assert np.array_equal(photo.alpha, ALPHA)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_photos_have_three_equal_channels_and_say_that_they_are_grey(mode):
    image = Image.fromarray(RGB).convert(mode)
    photo = decode(stored(image, "PNG"))
    assert photo.is_grey
    assert photo.pixels.shape == (6, 9, 3)
    assert np.array_equal(photo.pixels, np.asarray(image.convert("RGB")))
    assert (photo.alpha is not None) == (mode == "LA")


def test_palettes_become_colours_and_their_clear_entry_becomes_alpha():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    photo = decode(stored(image, "PNG"))
    assert photo.pixels.tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert photo.alpha is None
    clear = decode(stored(image, "PNG", transparency=1))
    assert clear.pixels.tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert clear.alpha.tolist() == [[255, 0]]


def test_cmyk_ink_becomes_its_colour():
    for ink, colour in [((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0)]:
        for profile in (None, b"no profile at all"):
            data = stored(Image.new("CMYK", (8, 8), ink), "JPEG", quality=95, icc_profile=profile)
            photo = decode(data)
            assert np.abs(photo.pixels.astype(int) - colour).max() <= 2
            assert photo.icc is None  # the profile was the ink's, not the colours'
    red, green, blue = decode(stored(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).pixels[4, 4].astype(int)
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("n_channels", [1, 3, 4])
def test_16_bits_stay_16_bits(kind, n_channels):
    values = np.random.default_rng(3).integers(0, 65536, (6, 9, n_channels), dtype=np.uint16)
    in_bgr = values if n_channels == 1 else values[..., [2, 1, 0, 3][:n_channels]]
    photo = decode(cv2.imencode(kind, in_bgr)[1].tobytes())
    assert photo.pixels.dtype == np.uint16
    assert np.array_equal(photo.pixels, np.repeat(values, 3, axis=2) if n_channels == 1 else values[..., :3])
    assert photo.is_grey == (n_channels == 1)
    assert n_channels < 4 or np.array_equal(photo.alpha, values[..., 3])


def tiff(values, **options: object) -> bytes:
    file = io.BytesIO()
    pytest.importorskip("tifffile").imwrite(file, values, **options)
    return file.getvalue()


STRANGE = np.random.default_rng(4).random((6, 9))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (stored(Image.fromarray(STRANGE.astype(np.float32)), "TIFF"), "floating-point"),
        (stored(Image.fromarray((STRANGE * 2**30).astype(np.int32)), "TIFF"), "32-bit"),
        (tiff(np.stack([STRANGE] * 3, 2).astype(np.float32), photometric="rgb"), "of a kind that is not read"),
        (tiff(DEEP[..., 0], photometric="miniswhite"), "interpretation 0"),  # came out as its negative
        (tiff(DEEP.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"), "planar"),  # came out mixed up
        (tiff(np.dstack([DEEP, DEEP[..., 0]]), photometric="separated"), "interpretation 5"),
    ],
    ids=["float grey", "int32", "float RGB", "white is zero", "planes", "CMYK"],
)
def test_kinds_that_cannot_be_read_faithfully_are_refused_by_name(data, word):
    with pytest.raises(ImageError, match=word) as caught:
        decode(data, "a.tif")
    assert "grey or RGB of 16" in str(caught.value)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_read_and_they_are_counted(kind):
    frames = [Image.fromarray(np.full((6, 9, 3), level, np.uint8)) for level in (0, 255, 128)]
    data = stored(frames[0], kind, save_all=True, append_images=frames[1:])
    photo = decode(data)
    assert photo.n_frames == n_frames_of(data) == 3 and photo.pixels.max() < 30
    assert n_frames_of(stored(frames[0], "PNG")) == n_frames_of(b"text") == 1


def test_16_to_8_bits_rounds_to_the_nearest():
    """v / 257, since 65535 / 255 = 257."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_uint8(values), np.rint(values / 257).astype(np.uint8))
    assert np.array_equal(Photo(DEEP, DEEP[..., 0]).as_uint8().alpha, to_uint8(DEEP[..., 0]))


TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).swapaxes(0, 1),
    8: lambda p: np.rot90(p, 1),
}
"""How a stored picture has to be turned for each EXIF orientation (EXIF 2.3, tag 274)."""


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_applied_once(orientation):
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "a maker"
    for data, expected in [
        (stored(Image.fromarray(RGB), "PNG", exif=exif), RGB),
        (encode_png(Photo(DEEP, exif=exif.tobytes())), DEEP),
    ]:
        photo = decode(data)
        assert np.array_equal(photo.pixels, TURNS[orientation](expected))
        again = decode(encode_png(photo))
        assert np.array_equal(again.pixels, photo.pixels)
        assert Image.open(io.BytesIO(encode_png(photo))).getexif()[271] == "a maker"


def test_only_the_first_of_several_pictures_is_taken():
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    assert np.array_equal(decode(stored(frames[0], "TIFF", save_all=True, append_images=frames[1:])).pixels, RGB)


JPEG = stored(Image.fromarray(np.repeat(np.repeat(RGB, 20, 0), 20, 1)), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"a ring\n" * 100, "not an image"),
        (b"\xff\xd8\xff\xe0", "not an image|damaged"),
        (JPEG[: len(JPEG) // 2], "damaged.*truncated"),
        (stored(Image.fromarray(RGB), "PNG")[:60], "damaged"),
        (png_header(9, 6), "damaged"),
        (encode_png(Photo(DEEP))[:-60], "damaged"),
        (b"\x89PNG\r\n\x1a\n", "not an image|damaged"),
    ],
)
def test_broken_files_are_named_with_the_reason(data, reason):
    with pytest.raises(ImageError, match=reason) as error:
        decode(data, "rings/a.jpg")
    assert "rings/a.jpg" in str(error.value)


@pytest.mark.parametrize("side", [14_000, 40_000])
def test_header_bombs_are_refused_before_they_are_decoded(side):
    with pytest.raises(ImageError, match="too large"):
        decode(png_header(side, side))


def test_what_is_no_readable_file_is_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for name, reason in [
        ("pipe.jpg", "not a regular file"),
        ("gone.jpg", "a link to nothing"),
        ("empty.jpg", "empty"),
        ("folder.jpg", "not a regular file"),
        ("loop.jpg", "cannot be opened"),
        ("nothing.jpg", "cannot be opened"),
    ]:
        with pytest.raises(ImageError, match=reason):
            read_photo(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_refused(tmp_path: Path):
    file = tmp_path / "locked.jpg"
    file.write_bytes(JPEG)
    file.chmod(0)
    with pytest.raises(ImageError, match="Permission denied"):
        read_photo(file)


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    seed=st.integers(0, 999),
    deep=st.booleans(),
    alpha=st.booleans(),
    compression=st.sampled_from([None, 0, 6]),
)
@settings(max_examples=60, deadline=None)
def test_png_keeps_every_value(height, width, seed, deep, alpha, compression):
    values = np.random.default_rng(seed).integers(0, 65536 if deep else 256, (height, width, 4))
    values = values.astype(np.uint16 if deep else np.uint8)
    photo = Photo(np.ascontiguousarray(values[..., :3]), values[..., 3] if alpha else None)
    again = decode(encode_png(photo, compression))
    assert again.pixels.dtype == photo.pixels.dtype
    assert np.array_equal(again.pixels, photo.pixels)
    assert (again.alpha is None) == (not alpha)
    assert not alpha or np.array_equal(again.alpha, values[..., 3])


def test_png_of_a_grey_photo_is_grey_unless_it_was_coloured():
    grey = np.repeat(RGB[..., :1], 3, axis=2)
    for pixels, mode in [(grey, "L"), (RGB, "RGB")]:
        assert Image.open(io.BytesIO(encode_png(Photo(pixels, is_grey=True)))).mode == mode
    clear = Image.open(io.BytesIO(encode_png(Photo(grey, ALPHA, is_grey=True))))
    assert np.array_equal(np.asarray(clear.convert("RGBA"))[..., 3], ALPHA)


def test_a_grey_profile_does_not_go_on_a_photo_that_became_coloured():
    profile = bytearray(200)
    profile[16:20] = b"GRAY"
    grey = np.repeat(RGB[..., :1], 3, axis=2)
    for pixels, kept in [(grey, bytes(profile)), (RGB, None)]:
        data = encode_png(Photo(pixels, is_grey=True, icc=bytes(profile)))
        assert Image.open(io.BytesIO(data)).info.get("icc_profile") == kept


def test_jpeg_puts_clear_parts_on_white_and_webp_keeps_them():
    photo = Photo(np.zeros((16, 16, 3), np.uint8), np.zeros((16, 16), np.uint8))
    assert decode(encode(photo, ".jpg")).pixels.min() >= 254
    assert decode(encode(photo, ".webp")).alpha.max() == 0
    with pytest.raises(ImageError, match="PNG, JPEG or WebP"):
        encode(photo, ".gif")


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos", "area"])
def test_resizing_keeps_flat_areas_and_the_size_asked_for(method):
    flat = np.full((10, 14, 3), (10, 120, 240), np.uint8)
    for height, width in [(3, 5), (10, 14), (25, 31), (1, 1), (5, 40)]:
        assert np.array_equal(resize(flat, height, width, method), np.broadcast_to(flat[0, 0], (height, width, 3)))


def test_tensors_and_back():
    import torch

    for top, dtype in [(255, torch.uint8), (65535, torch.uint16)]:
        values = torch.arange(0, top + 1, dtype=torch.int32).to(dtype)
        assert to_unit(values).min() == 0
        assert to_unit(values).max() == 1
        assert to_signed(values).min() == -1
        assert to_signed(values).max() == 1
        assert torch.equal(from_unit(to_unit(values), dtype).int(), values.int())
        assert torch.equal(from_signed(to_signed(values), dtype).int(), values.int())
        assert from_unit(torch.tensor([-1.0, 2.0]), dtype).int().tolist() == [0, top]
