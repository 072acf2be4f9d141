"""Job: a page in the browser that restores dropped photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jewelenh.job import job

if TYPE_CHECKING:
    from jewelenh.schemas import Demo


@job("demo")
def main(config: Demo) -> None:
    """Run `python -m jewelenh.demo`."""
    import functools
    import importlib.util
    import logging

    from jewelenh.demonstration.checkpoints import find_trained
    from jewelenh.demonstration.server import run, temporary_folder
    from jewelenh.demonstration.session import Session
    from jewelenh.errors import JewelenhError
    from jewelenh.refinement.weights import find_checkpoint

    if importlib.util.find_spec("gradio") is None:
        raise JewelenhError("The demo needs Gradio.", fix="pip install 'jewelenh[demo]'")
    output_dir = config.paths.output_dir
    given = None if config.checkpoint == "latest" else find_checkpoint(config.checkpoint, output_dir)
    trained = functools.partial(find_trained, output_dir, given)
    trained()  # or it says what is wrong with `checkpoint`
    with temporary_folder() as folder:
        place, cache_dir = folder / "results", config.paths.cache_dir
        session = Session(config.levels, config.seed, place, cache_dir, config.hardware, config.trust, config.metadata)
        run(config.server, config.limits, session, trained, folder)
    logging.getLogger(__name__).info("demo: ended, its files are deleted")


if __name__ == "__main__":
    main()
