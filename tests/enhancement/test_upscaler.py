from __future__ import annotations

import dataclasses
import io
import shutil
import threading
import tracemalloc
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
import torch
from esrgan_parts import compact_state, drawn
from PIL import ExifTags, Image, ImageCms
from torch import Tensor, nn

from jewelenh.config import Enhancer, Hardware, parse
from jewelenh.enhancement import batching
from jewelenh.enhancement.batching import NotFiniteError
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.errors import ConfigError, ImageError
from jewelenh.images import Photo, encode_png

ODD_SIZES = [(37, 53), (64, 64), (101, 30), (3, 90)]


def levels_apart(first: np.ndarray, second: np.ndarray) -> int:
    assert first.shape == second.shape
    assert first.dtype == second.dtype
    return int(np.abs(first.astype(np.int64) - second.astype(np.int64)).max())


def with_network(upscaler: Upscaler, change: Callable[[nn.Module], nn.Module]) -> Upscaler:
    network = dataclasses.replace(upscaler.network, module=change(upscaler.network.module))
    return Upscaler(network, upscaler.enhancer, upscaler.hardware)


# Pixels ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ODD_SIZES)
def test_equals_the_plain_network(enhancer, size, hardware):
    """Against a network put together by hand from the formula of SRVGGNetCompact, in double precision."""
    pixels, state = drawn(*size), {k: v.double() for k, v in compact_state().items()}
    unit = torch.from_numpy(pixels / 255.0).permute(2, 0, 1)[None]
    values = unit
    for index in (0, 2, 4, 6):
        values = nn.functional.conv2d(values, state[f"body.{index}.weight"], state[f"body.{index}.bias"], padding=1)
        if index < 6:
            values = nn.functional.prelu(values, state[f"body.{index + 1}.weight"])
    large = nn.functional.pixel_shuffle(values, 4) + nn.functional.interpolate(unit, scale_factor=4)
    expected = (large[0].permute(1, 2, 0).numpy() * 255).clip(0, 255).round().astype(np.uint8)
    assert levels_apart(Upscaler.load(enhancer, hardware).upscale(Photo(pixels)).pixels, expected) <= 1


@pytest.mark.parametrize("size", [(37, 53), (101, 40), (64, 64)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tiled_equals_whole(enhancer, size, precision, hardware):
    hardware = dataclasses.replace(hardware, precision=precision)
    photo = Photo(drawn(*size))
    whole = Upscaler.load(enhancer, dataclasses.replace(hardware, tile=None)).upscale(photo)
    tiled = Upscaler.load(enhancer, dataclasses.replace(hardware, tile=32)).upscale(photo)
    assert levels_apart(whole.pixels, tiled.pixels) == 0


def test_tiles_without_the_overlap_would_show(enhancer, hardware):
    """The test above can fail: with a margin of one pixel too few the seams differ."""
    upscaler = Upscaler.load(enhancer, dataclasses.replace(hardware, tile=32))
    narrow = Upscaler(
        dataclasses.replace(upscaler.network, radius_px=upscaler.network.radius_px - 2),
        upscaler.enhancer,
        upscaler.hardware,
    )
    photo = Photo(drawn(101, 97))
    assert levels_apart(upscaler.upscale(photo).pixels, narrow.upscale(photo).pixels) > 0


@pytest.mark.parametrize("size", [(201, 189), (190, 200)])
def test_blended_tiles_are_close_to_whole(rrdb_file, size, hardware):
    """A network whose reach is too far to pad for. Measured: 0 levels here; the official 10 px of padding give more."""
    enhancer = Enhancer(name="tiny", weights=rrdb_file)
    photo = Photo(drawn(*size))
    whole = Upscaler.load(enhancer, hardware).upscale(photo)
    tiled = Upscaler.load(enhancer, dataclasses.replace(hardware, tile=64)).upscale(photo)
    assert levels_apart(whole.pixels, tiled.pixels) <= 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_bytes_do_not_depend_on_company(enhancer, precision, hardware):
    """Not on order, threads, or which photos come along."""
    photos = {f"{k}": Photo(drawn(40, 50, k)) for k in range(7)} | {"odd": Photo(drawn(33, 70, 9))}
    alone = {
        key: Upscaler.load(enhancer, dataclasses.replace(hardware, precision=precision)).upscale(p)
        for key, p in photos.items()
    }
    for batch_size in (1, 2, 3, 8, "auto"):
        upscaler = Upscaler.load(enhancer, dataclasses.replace(hardware, precision=precision, batch_size=batch_size))
        together = dict(upscaler.upscale_many(reversed(photos.items())))
        assert together.keys() == photos.keys()
        assert all(np.array_equal(together[key].pixels, alone[key].pixels) for key in photos)


def test_every_precision_is_made_from_the_weights_as_they_were_read(enhancer, hardware):
    """16-bit photos are enlarged in fp32 also where the photos before them were not."""
    deep = Photo(drawn(24, 31, dtype=np.uint16))
    expected = Upscaler.load(enhancer, hardware).upscale(deep).pixels
    upscaler = Upscaler.load(enhancer, dataclasses.replace(hardware, precision="auto"))
    upscaler.precision = "bf16"  # as on hardware that has it
    result = dict(upscaler.upscale_many([("eight bits", Photo(drawn(24, 31))), ("deep", deep)]))
    assert np.array_equal(result["deep"].pixels, expected)


def test_torch_threads_are_as_before(enhancer, hardware):
    before = torch.get_num_threads()
    list(Upscaler.load(enhancer, hardware).upscale_many([(1, Photo(drawn(20, 20)))]))
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert seen == [before] == [torch.get_num_threads()]


# Pictures as they come ------------------------------------------------------------------------------------------------


def test_alpha_goes_apart_and_comes_back(enhancer, hardware):
    pixels, mask = drawn(30, 44), drawn(30, 44, 3)[..., 0]
    upscaler = Upscaler.load(enhancer, hardware)
    result = upscaler.upscale(Photo(pixels, mask))
    assert np.array_equal(result.pixels, upscaler.upscale(Photo(pixels)).pixels)
    as_grey = upscaler.upscale(Photo(np.repeat(mask[..., None], 3, 2), is_grey=True))
    assert np.array_equal(result.alpha, as_grey.pixels[..., 0])


@pytest.mark.parametrize("value", [255, 0, 17])
def test_an_even_alpha_stays_exactly_even(enhancer, value, hardware):
    result = Upscaler.load(enhancer, hardware).upscale(Photo(drawn(12, 16), np.full((12, 16), value, np.uint8)))
    assert result.alpha.shape == (48, 64)
    assert (result.alpha == value).all()


def test_16_bit_stays_16_bit_also_when_dark(enhancer, hardware):
    """The official engine looks at the largest value, so a dark photo comes out 257 times too bright."""
    pixels = drawn(24, 31, dtype=np.uint16) // 300
    assert pixels.max() <= 256
    upscaler = Upscaler.load(enhancer, dataclasses.replace(hardware, precision="auto"))
    result = upscaler.upscale(Photo(pixels)).pixels
    assert result.dtype == np.uint16
    bright = upscaler.upscale(Photo(drawn(24, 31, dtype=np.uint16))).pixels
    bright8 = upscaler.upscale(Photo(drawn(24, 31))).pixels
    assert np.abs(bright / 257 - bright8).mean() < 1.5
    assert len(np.unique(bright)) > 2000  # more than 8 or 11 bits could tell apart


def test_grey_stays_grey_and_profiles_survive(enhancer, hardware):
    grey = np.repeat(drawn(20, 26)[..., :1], 3, axis=2)
    icc, exif = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), Image.Exif()
    exif[ExifTags.Base.Artist] = "a jeweller"
    photo = Photo(grey, is_grey=True, icc=icc, exif=exif.tobytes())
    result = Upscaler.load(enhancer, hardware).upscale(photo)
    assert result.is_grey
    assert np.array_equal(result.pixels[..., 0], result.pixels[..., 2])
    assert (result.icc, result.exif) == (photo.icc, photo.exif)
    assert cv2.imdecode(np.frombuffer(encode_png(result), np.uint8), cv2.IMREAD_UNCHANGED).ndim == 2
    with Image.open(io.BytesIO(encode_png(result))) as written:
        assert written.info["icc_profile"] == icc
        assert written.getexif()[ExifTags.Base.Artist] == "a jeweller"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 5)])
@pytest.mark.parametrize("scale", [4, 2])
def test_the_smallest_photos(tmp_path, size, scale, hardware):
    from esrgan_parts import rrdb_state

    torch.save({"params_ema": rrdb_state(scale=scale)}, tmp_path / "net.pth")
    upscaler = Upscaler.load(Enhancer(name="tiny", weights=tmp_path / "net.pth"), hardware)
    assert upscaler.upscale(Photo(drawn(*size))).size == (size[0] * scale, size[1] * scale)


def test_strength_goes_from_bicubic_to_the_network(enhancer, hardware):
    photo = Photo(drawn(31, 45))
    at = {
        s: Upscaler.load(dataclasses.replace(enhancer, strength=s), hardware).upscale(photo).pixels
        for s in (0.0, 0.5, 1.0)
    }
    bicubic = cv2.resize(photo.pixels, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    assert levels_apart(at[0.0], bicubic) <= 1
    middle = ((at[0.0].astype(int) + at[1.0]) / 2).round().astype(np.uint8)
    assert levels_apart(at[0.5], middle) <= 1


def test_a_strength_below_one_is_tiled_exactly_too(enhancer, hardware):
    photo = Photo(drawn(90, 77))
    enhancer = dataclasses.replace(enhancer, strength=0.4)
    tiled = Upscaler.load(enhancer, dataclasses.replace(hardware, tile=32)).upscale(photo)
    assert levels_apart(tiled.pixels, Upscaler.load(enhancer, hardware).upscale(photo).pixels) <= 1


# What goes wrong ------------------------------------------------------------------------------------------------------


class Greedy(nn.Module):
    """Runs out of memory above a number of input pixels per pass; counts what it really computed."""

    def __init__(self, network: nn.Module, limit: int, error: Exception) -> None:
        super().__init__()
        self.network, self.limit, self.error = network, limit, error
        self.passes: list[tuple[int, ...]] = []

    def __deepcopy__(self, memo: object) -> Greedy:
        return self

    def forward(self, unit: Tensor) -> Tensor:
        if unit.shape[0] * unit.shape[2] * unit.shape[3] > self.limit:
            raise self.error
        self.passes.append(tuple(unit.shape))
        return self.network(unit)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    MemoryError("NumPy's"),
]


def in_batches(upscaler: Upscaler) -> Upscaler:
    """Take the way of a GPU, on the CPU: stacks of full length, whatever is left in the last one."""
    upscaler.executor.stacks = True
    return upscaler


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["torch", "cpu allocator", "numpy"])
def test_out_of_memory_halves_the_batch_and_redoes_only_it(enhancer, caplog, error, hardware):
    photos = [(k, Photo(drawn(90, 100, k))) for k in range(11)]
    expected = dict(Upscaler.load(enhancer, hardware).upscale_many(photos))
    made: list[Greedy] = []

    def greedy(network: nn.Module) -> nn.Module:
        made.append(Greedy(network, 3 * 9000, error))
        return made[-1]

    upscaler = with_network(Upscaler.load(enhancer, dataclasses.replace(hardware, batch_size=8)), greedy)
    result = dict(in_batches(upscaler).upscale_many(photos))
    assert all(np.array_equal(result[k].pixels, expected[k].pixels) for k in expected)
    # 8 and 3 photos in batches of 2: every photo is computed once, in 4 + 2 passes.
    assert [shape[0] for shape in made[0].passes] == [2] * 6
    assert "out of memory with 8 tiles of 100x90: 4 from here on" in caplog.text


def test_out_of_memory_halves_the_tile_then(enhancer, caplog, hardware):
    photos = [(k, Photo(drawn(100, 90, k))) for k in range(3)]
    expected = dict(Upscaler.load(enhancer, hardware).upscale_many(photos))
    upscaler = with_network(Upscaler.load(enhancer, hardware), lambda n: Greedy(n, 2500, OUT_OF_MEMORY[0]))
    result = dict(upscaler.upscale_many(photos))
    assert all(np.array_equal(result[k].pixels, expected[k].pixels) for k in expected)
    assert "in parts of 50 px" in caplog.text


def test_out_of_memory_to_the_very_end_fails_that_photo_only(enhancer, hardware):
    upscaler = with_network(Upscaler.load(enhancer, hardware), lambda n: Greedy(n, 700, OUT_OF_MEMORY[0]))
    result = dict(upscaler.upscale_many([("large", Photo(drawn(100, 90))), ("small", Photo(drawn(15, 20)))]))
    assert isinstance(result["large"], ImageError)
    assert "Memory does not suffice" in str(result["large"])
    assert result["small"].size == (60, 80)


def test_tile_null_never_tiles(enhancer, hardware):
    hardware = dataclasses.replace(hardware, tile=None)
    upscaler = with_network(Upscaler.load(enhancer, hardware), lambda n: Greedy(n, 2500, OUT_OF_MEMORY[0]))
    with pytest.raises(ImageError, match=r"(?s)90x100.*hardware.tile=auto"):
        upscaler.upscale(Photo(drawn(100, 90)))


def test_running_out_only_side_by_side_means_fewer_at_once(enhancer, caplog, hardware):
    class Crowded(nn.Module):
        """Fails in the executor's own threads, works alone."""

        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network
            self.failures = 0

        def forward(self, unit: Tensor) -> Tensor:
            if threading.current_thread().name.startswith("enhance") and self.failures == 0:
                self.failures += 1
                raise OUT_OF_MEMORY[1]
            return self.network(unit)

    upscaler = with_network(Upscaler.load(enhancer, hardware), Crowded)
    upscaler.executor.n_at_once = 2
    result = dict(upscaler.upscale_many([(k, Photo(drawn(20, 30, k))) for k in range(5)]))
    assert all(isinstance(photo, Photo) for photo in result.values())
    assert "out of memory" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("CUDA error: device-side assert"), ValueError("a bug")])
def test_other_errors_are_not_swallowed(enhancer, error, hardware):
    upscaler = with_network(Upscaler.load(enhancer, hardware), lambda n: Greedy(n, 100, error))
    with pytest.raises(type(error), match=str(error)):
        upscaler.upscale(Photo(drawn(20, 20)))


class SpoilsReds(nn.Module):
    """NaN where a photo's first pixel is pure red."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, unit: Tensor) -> Tensor:
        large = self.network(unit)
        large[unit[:, 0, 0, 0] == 1, 1, 5, 5] = float("nan")
        return large


def test_nan_is_that_photo_alone_and_names_the_precision(enhancer, hardware):
    photos = {k: Photo(drawn(20, 30, k)) for k in range(4)}
    photos[2].pixels[0, 0] = (255, 0, 0)
    for k in (0, 1, 3):
        photos[k].pixels[0, 0] = (0, 0, 0)
    upscaler = with_network(Upscaler.load(enhancer, dataclasses.replace(hardware, batch_size=4)), SpoilsReds)
    result = dict(in_batches(upscaler).upscale_many(photos.items()))
    assert isinstance(result[2], NotFiniteError)
    assert "fp32" in str(result[2])
    assert all(isinstance(result[k], Photo) for k in (0, 1, 3))


def test_a_device_that_is_not_there(enhancer):
    with pytest.raises(ConfigError, match=r"hardware\.device=auto"):
        Upscaler.load(enhancer, Hardware(device="cuda:99"))


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:", "cuda:0 "])
def test_what_is_no_device(device, hardware):
    with pytest.raises(ConfigError, match=r"hardware.device = .*: allowed is auto, cpu, cuda or cuda:<n>"):
        parse(Hardware, {"device": device}, "hardware")


# Memory ---------------------------------------------------------------------------------------------------------------


def test_memory_is_bounded_by_the_tile_not_the_photo(enhancer, monkeypatch, hardware):
    """`auto` cuts what would need more than the bound into tiles that do not."""
    sizes: list[int] = []

    class Watched(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, unit: Tensor) -> Tensor:
            sizes.append(unit.shape[2] * unit.shape[3])
            return self.network(unit)

    monkeypatch.setattr(batching, "CPU_BYTES", 20_000_000)
    upscaler = with_network(Upscaler.load(enhancer, hardware), Watched)
    photo = Photo(drawn(300, 420))
    tiled = upscaler.upscale(photo)
    assert len(sizes) > 4
    assert max(sizes) * upscaler.network.bytes_per_pixel * 4 <= batching.CPU_BYTES // 2
    monkeypatch.undo()
    assert np.array_equal(tiled.pixels, Upscaler.load(enhancer, hardware).upscale(photo).pixels)


def test_memory_stays_flat_however_many_photos_there_are(enhancer, hardware):
    """NumPy's memory while 10 and while 60 photos go by: sources and results are let go."""
    upscaler = Upscaler.load(enhancer, hardware)

    def photos(count: int) -> Iterator[tuple[int, Photo]]:
        return ((k, Photo(drawn(64, 64, k))) for k in range(count))

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in upscaler.upscale_many(photos(count)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(3)
    assert peak(60) < 1.3 * peak(10)


def test_results_under_way_are_bounded(enhancer, monkeypatch, hardware):
    """With photos of different sizes waiting for company, not more than the bound is open."""
    from jewelenh.enhancement import upscaler as module

    monkeypatch.setattr(module, "OPEN_BYTES", 16 * 3 * 40 * 40 * 5)
    upscaler = in_batches(Upscaler.load(enhancer, dataclasses.replace(hardware, batch_size=8)))
    n_given = n_back = most = 0

    def photos() -> Iterator[tuple[int, Photo]]:
        nonlocal n_given, most
        for k in range(30):
            n_given += 1
            most = max(most, n_given - n_back)
            yield k, Photo(drawn(40, 30 + k % 10, k))

    for _ in upscaler.upscale_many(photos()):
        n_back += 1
    assert n_back == 30
    assert most <= 8


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_gives_the_same_picture(enhancer, hardware):
    photos = [(k, Photo(drawn(40, 50, k))) for k in range(2)]
    plain = dict(Upscaler.load(enhancer, hardware).upscale_many(photos))
    compiled = dict(Upscaler.load(enhancer, dataclasses.replace(hardware, compile=True)).upscale_many(photos))
    assert all(levels_apart(compiled[k].pixels, plain[k].pixels) <= 1 for k in plain)
