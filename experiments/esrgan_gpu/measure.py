"""What does the enhancement stage reach on this GPU? Correctness first, then time, then one short table.

    python experiments/esrgan_gpu/measure.py                # about 8 minutes on a large card
    python experiments/esrgan_gpu/measure.py --quick        # a minute: fewer batch sizes, no compile
    python experiments/esrgan_gpu/measure.py --smoke        # anywhere, a CPU too: says only that the script runs

Random weights of the right shapes: x4plus (RRDBNet, 64 features, 23 blocks) and general_x4v3 (SRVGGNetCompact, 64
features, 32 convolutions). Photos are 262x262.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jewelenh.config import Enhancer, Hardware, Source
from jewelenh.enhancement.run import enhance
from jewelenh.enhancement.upscaler import Upscaler
from jewelenh.hardware import DTYPES
from jewelenh.images import Photo, Pixels, encode, encode_png, read_photo
from jewelenh.sources import fetch

SIDE = 262
DENSE_PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L4": 121.0, "T4": 65.0}
"""Dense bf16/fp16 matrix peak by the makers' data sheets, SXM versions."""
GOALS = {"x4plus": 160.0, "general_x4v3": 1200.0}
"""Photos/s through the network on an H200."""


def precisions(device: str) -> tuple[str, ...]:
    return ("bf16", "fp16") if device == "cuda" else ("bf16",)  # fp16 on a CPU takes minutes


def write_weights(folder: Path, small: bool) -> dict[str, Path]:
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "general_x4v3": Compact(num_feat=8 if small else 64, num_conv=2 if small else 32, upscale=4),
        "x4plus": ESRGAN(num_filters=8 if small else 64, num_blocks=1 if small else 23, scale=4),
    }
    files = {}
    for name, network in networks.items():
        if name == "x4plus":
            make_lively(network)
        files[name] = folder / f"{name}.pth"
        torch.save({"params": network.state_dict()}, files[name])
    return files


@torch.no_grad()
def make_lively(network: nn.Module) -> None:
    """Scale the last convolution so that a photo gives values around 0.5 +- 0.2: of a plain grey nothing is learned."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
    unit = torch.from_numpy(drawn(0, 64, 64) / np.float32(255)).permute(2, 0, 1)[None]
    assert last.bias is not None
    last.bias.zero_()
    large = network(unit)
    last.weight *= 0.2 / large.std()
    last.bias += 0.5 - large.mean() * 0.2 / large.std()


def drawn(k: int, height: int = SIDE, width: int = SIDE) -> Pixels:
    draw = np.random.default_rng(k)
    rows, columns = np.mgrid[0:height, 0:width] / 60
    photo = np.dstack([np.sin(rows + k), np.cos(columns), np.sin(rows + columns)]) * 90 + 128
    return (photo + draw.normal(0, 5, photo.shape)).clip(0, 255).astype(np.uint8)


# Correctness ----------------------------------------------------------------------------------------------------------


def check(files: dict[str, Path], device: str, n_photos: int) -> Iterator[tuple[str, bool]]:
    """Yield what was checked and whether it holds."""
    photos = {k: Photo(drawn(k)) for k in range(n_photos)}
    odd = Photo(drawn(99, 201, 333) if device == "cuda" else drawn(99, 71, 133))
    for name, file in files.items():
        enhancer, fp32 = Enhancer(name=name, weights=file), Hardware(device=device, precision="fp32")
        reference = Upscaler.load(enhancer, dataclasses.replace(fp32, device="cpu")).upscale(odd).pixels.astype(int)
        ours = Upscaler.load(enhancer, fp32).upscale(odd).pixels
        most = int(np.abs(ours - reference).max())
        yield f"{name} fp32: {most} levels from the CPU", most <= 1
        for precision in precisions(device):
            upscaler = Upscaler.load(enhancer, Hardware(device=device, precision=precision))
            error = np.mean((upscaler.upscale(odd).pixels - reference) ** 2.0)
            psnr_db = 10 * np.log10(255**2 / max(error, 1e-9))
            yield f"{name} {precision}: {psnr_db:.1f} dB from CPU fp32", psnr_db >= 45
            alone = {k: upscaler.upscale(photo).pixels for k, photo in photos.items()}
            together = dict(upscaler.upscale_many([*reversed(photos.items()), (-1, odd)]))
            same = all(np.array_equal(together[k].pixels, alone[k]) for k in photos)  # type: ignore[union-attr]
            yield f"{name} {precision}: bytes do not depend on company", same
        if name == "general_x4v3":
            tiled = Upscaler.load(enhancer, dataclasses.replace(fp32, tile=96)).upscale(odd).pixels
            yield f"{name}: tiled equals whole (fp32, <= 1 level)", int(np.abs(tiled.astype(int) - ours).max()) <= 1
    if device == "cuda":
        yield out_of_memory(files["x4plus"])


def out_of_memory(file: Path) -> tuple[str, bool]:
    """A card of which little may be used: the batch and the window shrink, the picture stays."""
    enhancer = Enhancer(name="x4plus", weights=file)
    hardware = Hardware(device="cuda", precision="bf16", batch_size=16)
    photos = [(k, Photo(drawn(k))) for k in range(20)]
    whole = dict(Upscaler.load(enhancer, dataclasses.replace(hardware, batch_size=1)).upscale_many(photos))
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 4 * (1 << 30) / total))
    squeezed = dict(Upscaler.load(enhancer, hardware).upscale_many(photos))
    torch.cuda.set_per_process_memory_fraction(1.0)
    apart = [np.abs(squeezed[k].pixels.astype(int) - whole[k].pixels).max() for k, _ in photos]  # type: ignore[union-attr]
    return f"x4plus in 4 GiB with batches of 16: done, {max(apart)} levels apart", max(apart) <= 2


# Time -----------------------------------------------------------------------------------------------------------------


def timed(run: Callable[[], object], device: str, seconds: float) -> float:
    """Return seconds per call, after two calls to warm up."""
    run(), run()
    synchronize(device)
    n_calls, started_s = 0, time.perf_counter()
    while time.perf_counter() - started_s < seconds:
        for _ in range(5):
            run()
        synchronize(device)
        n_calls += 5
    return (time.perf_counter() - started_s) / n_calls


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def graphed(network: Callable[[Tensor], Tensor], unit: Tensor) -> Callable[[], object]:
    """Capture one call as a CUDA graph."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for _ in range(3):
            network(unit)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(unit)
    return graph.replay


def ways(network: nn.Module, unit: Tensor, device: str, quick: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    nhwc = unit.contiguous(memory_format=torch.channels_last)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    yield "channels_last", lambda: network(nhwc)
    if device == "cuda":
        yield "channels_last, graph", graphed(network, nhwc)
    if not quick:
        compiled = torch.compile(network, mode="max-autotune-no-cudagraphs")
        yield "channels_last, compile", lambda: compiled(nhwc)
        plain = network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        yield "contiguous", lambda: plain(unit)


def network_speed(name: str, file: Path, device: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Photos/s of the network alone, for every precision, batch size and way of running it."""
    enhancer = Enhancer(name=name, weights=file)
    n_flops = flops_of(Upscaler.load(enhancer).network.module.cpu())
    rows: list[dict[str, object]] = []
    for precision in precisions(device):
        for batch in (1, 4) if options.quick or options.smoke else (1, 2, 4, 8, 16, 32):
            network = Upscaler.load(enhancer).network.module.to(device=device, dtype=DTYPES[precision])
            unit = torch.rand(batch, 3, SIDE, SIDE, device=device).to(DTYPES[precision])
            with torch.inference_mode():
                for way, run in ways(network, unit, device, options.quick or options.smoke):
                    try:
                        rate = batch / timed(run, device, 0.2 if options.smoke else 1.5)
                    except torch.OutOfMemoryError:
                        rate = 0.0
                    rows.append({"network": name, "precision": precision, "batch": batch, "way": way, "rate": rate})
                    rows[-1]["tflops"] = rate * n_flops / 1e12
                    print(
                        f"  {name} {precision} batch {batch:2} {way:24}{rate:9.1f}/s {rows[-1]['tflops']:7.1f} TFLOP/s"
                    )
    return rows


def flops_of(network: nn.Module) -> float:
    """Return the floating-point operations for one photo, counted on a smaller one."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.rand(1, 3, 32, 32))
    return counter.get_total_flops() * (SIDE / 32) ** 2


def file_speed(name: str, file: Path, device: str, work: Path, n_photos: int) -> dict[str, float]:
    """Photos/s of the stage and of each of its parts alone: the slowest part is what limits it."""
    root = work / f"photos-{name}"
    root.mkdir()
    for k in range(n_photos):
        (root / f"{k:05}.jpg").write_bytes(encode(Photo(drawn(k % 50)), ".jpg"))
    raw = fetch(Source(kind="folder", root=root), 42, work / name)
    enhancer, hardware = Enhancer(name=name, weights=file), Hardware(device=device)
    upscaler = Upscaler.load(enhancer, hardware)
    photos = [(k, Photo(drawn(k % 50))) for k in range(n_photos)]
    large = next(iter(upscaler.upscale_many(photos[:1])))[1]
    with ThreadPoolExecutor(8) as pool:
        rates = {
            "decode": rate(lambda: list(pool.map(lambda item: read_photo(raw.file(item)), raw.items)), n_photos),
            "encode": rate(lambda: list(pool.map(lambda _: encode_png(large), range(64))), 64),  # type: ignore[arg-type]
            "upscale in memory": rate(lambda: [None for _ in upscaler.upscale_many(photos)], n_photos),
        }
    stage = work / name
    rates["files in, files out"] = rate(lambda: enhance(raw, "raw", enhancer, stage, None, hardware=hardware), n_photos)
    return rates


def rate(run: Callable[[], object], n_photos: int) -> float:
    started_s = time.perf_counter()
    run()
    return n_photos / (time.perf_counter() - started_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--json", type=Path, help="also write everything here")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not options.smoke:
        raise SystemExit("no CUDA device here; --smoke only tries the script out")
    card = torch.cuda.get_device_name(0) if device == "cuda" else "cpu"
    peak = next((tflops for part, tflops in DENSE_PEAK_TFLOPS.items() if part in card), float("nan"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        files = write_weights(work, small=options.smoke)
        checks = list(check(files, device, 2 if options.smoke else 11))
        for what, holds in checks:
            print(f"  {'holds' if holds else 'FAILS'}  {what}")
        rows = [row for name, file in files.items() for row in network_speed(name, file, device, options)]
        n_photos = 4 if options.smoke else 600
        parts = {name: file_speed(name, file, device, work, n_photos) for name, file in files.items()}
    table(card, peak, checks, rows, parts)
    if options.json:
        content = {"card": card, "torch": torch.__version__, "checks": checks, "network": rows, "files": parts}
        options.json.write_text(json.dumps(content, indent=1))


def table(
    card: str,
    peak: float,
    checks: list[tuple[str, bool]],
    rows: list[dict[str, object]],
    parts: dict[str, dict[str, float]],
) -> None:
    print(f"\n{card}, torch {torch.__version__}, {SIDE}x{SIDE}, random weights")
    print(f"correctness: {sum(holds for _, holds in checks)} of {len(checks)} checks hold")
    for name, goal in GOALS.items():
        best = max((row for row in rows if row["network"] == name), key=lambda row: float(str(row["rate"])))
        share = float(str(best["tflops"])) / peak
        print(
            f"{name:14} network {best['rate']:8.1f} photos/s ({share:.0%} of the dense peak; goal {goal:.0f}/s): "
            f"{best['precision']}, batch {best['batch']}, {best['way']}"
        )
        for part, speed in parts[name].items():
            print(f"{'':14} {part:22}{speed:8.1f} photos/s")


if __name__ == "__main__":
    main()
