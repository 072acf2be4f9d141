"""Wrong keys and values of every group: one message, exit code 2, before any work."""

from __future__ import annotations

from place import JOBS, Place

WRONG: dict[str, tuple[str, str, str]] = {
    "a misspelt experiment": ("train", "+experimnt=severe", "experiment"),
    "an unknown experiment": ("train", "experiment=mlid", "mild"),
    "a level that does not exist": ("degrade", "degradation=mildd", "mild"),
    "a misspelt key of a level": ("degrade", "degradation.blurr.probability=1", "blur"),
    "a probability of 2": ("degrade", "degradation.blur.probability=2", "degradation.blur.probability"),
    "a range the wrong way round": ("degrade", "degradation.blur.gaussian_sigma_px=[3,1]", "[1, 3]"),
    "variants=0": ("degrade", "degradation.variants=0", "degradation.variants"),
    "source.limit=true": ("fetch", "source.limit=true", "source.limit"),
    "source.limit=0": ("fetch", "source.limit=0", "source.limit"),
    "source.limit=-1": ("fetch", "source.limit=-1", "source.limit"),
    "a kind of source that does not exist": ("fetch", "source.kind=web", "source.kind"),
    "a folder of photos that does not exist": ("fetch", "source.root=/nowhere", "source.root=/nowhere"),
    "an enhancer that does not exist": ("enhance", "enhancer=x5plus", "x4plus"),
    "weights that do not exist": ("enhance", "enhancer.weights=/nowhere.pth", "/nowhere.pth"),
    "a tile of -1": ("enhance", "hardware.tile=-1", "hardware.tile"),
    "a precision that does not exist": ("enhance", "hardware.precision=fp61", "hardware.precision"),
    "a device that does not exist": ("enhance", "hardware.device=cuda:99", "cuda:99"),
    "shard 3 of 2": ("enhance", "shard={index:3,count:2}", "shard"),
    "pairs.size=0": ("pair", "pairs.size=0", "pairs.size"),
    "a dtype that does not exist": ("pair", "pairs.dtype=float8", "pairs.dtype"),
    "a share of the split below 0": ("pair", "pairs.split.val=-1", "pairs.split.val"),
    "on_error=ignore": ("pair", "on_error=ignore", "on_error"),
    "seed=99999999999": ("train", "seed=99999999999", "seed"),
    "seed=-1": ("degrade", "seed=-1", "seed"),
    "seed=1.5": ("degrade", "seed=1.5", "seed"),
    "lr=nan": ("train", "model.optimizer.lr=nan", "model.optimizer.lr"),
    "lr=-1": ("train", "model.optimizer.lr=-1", "model.optimizer"),
    "lr=fast": ("train", "model.optimizer.lr=fast", "model.optimizer.lr"),
    "trainer.precision=banana": ("train", "trainer.precision=banana", "trainer.precision"),
    "trainer.max_epochs=0": ("train", "trainer.max_epochs=0", "max_epochs"),
    "a misspelt key of the trainer": ("train", "+trainer.max_epoch=3", "max_epochs"),
    "an accelerator that does not exist": ("train", "trainer.accelerator=abacus", "abacus"),
    "a network that does not exist": ("train", "model.network._target_=jewelenh.refinement.networks.Nett", "Nett"),
    "an option that a network does not have": ("train", "+model.network.colour=blue", "model.network.colour"),
    "features=-4": ("train", "model.network.features=-4", "features"),
    "a loss that does not exist": ("train", "model.loss._target_=torch.nn.Loss", "torch.nn.Loss"),
    "data.batch_size=0": ("train", "data.batch_size=0", "data.batch_size"),
    "data.crop larger than the pairs": ("train", "data.crop=4096", "data.crop"),
    "data.cache=disk": ("train", "data.cache=disk", "data.cache"),
    "an unknown logger": ("train", "logger=tensorbored", "tensorboard"),
    "an unknown callback": ("train", "+callbacks.x._target_=jewelenh.Nothing", "callbacks.x"),
    "an objective that is not measured": ("train", "objective=beauty", "objective"),
    "a checkpoint that does not exist": ("evaluate", "checkpoint=nowhere.ckpt", "nowhere.ckpt"),
    "a split that does not exist": ("evaluate", "split=exam", "split"),
    "strength=2": ("predict", "strength=2", "strength"),
    "quality=0": ("predict", "quality=0", "quality"),
    "scale=0": ("predict", "scale=0", "scale"),
    "format=bmp": ("predict", "format=bmp", "format"),
    "metadata=some": ("predict", "metadata=some", "metadata"),
    "an output inside the input": ("predict", "output=${input}/out", "output"),
    "an input that does not exist": ("predict", "input=/nowhere", "/nowhere"),
    "a format that is not exported": ("export", "format=tflite", "format"),
    "server.port=70000": ("demo", "server.port=70000", "server.port"),
    "limits.megapixels=0": ("demo", "limits.megapixels=0", "limits.megapixels"),
    "limits.hourly_mb=-1": ("demo", "limits.hourly_mb=-1", "limits.hourly_mb"),
    "a launcher that does not exist": ("fetch", "hydra/launcher=cloud", "slurm"),
}
"""What is wrong -> job, override, and what the message has to name."""
NOT_OF_THE_CONFIGURATION = {
    "a folder of photos that does not exist",
    "weights that do not exist",
    "data.crop larger than the pairs",
}
NOT_OF_THE_CONFIGURATION |= {"a checkpoint that does not exist", "an input that does not exist"}
NOT_OF_THE_CONFIGURATION |= {"an objective that is not measured"}


def wrong(place: Place, what: str) -> None:
    """One message that names the key, exit code 2 (1 where it is about files), nothing trained or written."""
    job, override, word = WRONG[what]
    if job == "train":
        place.copy_chain()
    words = ["paths.data_dir=" + str(place.data), "paths.output_dir=" + str(place.root / "outputs")]
    ended = place.job(job, *(place.words(job) if job in JOBS else words), override, alone=True)
    ended.refused(word, code=None if what in NOT_OF_THE_CONFIGURATION else 2)
    made = [path.name for path in place.root.rglob("*") if path.suffix in {".ckpt", ".npy"} and job != "train"]
    made += [
        path.name for path in (place.root / "outputs").rglob("last.ckpt") if what != "an objective that is not measured"
    ]
    assert not made, f"made before it was refused: {made[:3]}"


def few_photos(place: Place, n: int) -> None:
    """So few photos that a split is empty: that is said before anything is trained."""
    photos = place.own_photos()
    for path in sorted(photos.rglob("*.png"))[n:]:
        path.unlink()
    ended = place.job("train")
    ended.refused("photo")
    assert not list(place.root.rglob("last.ckpt")), "told after the training"
