"""Job: a page in the browser that restores dropped photos."""

from __future__ import annotations

from omegaconf import DictConfig

from jewelenh.composed import plain
from jewelenh.job import job


@job("demo")
def main(cfg: DictConfig) -> None:
    """Run `python -m jewelenh.demo`."""
    import functools
    import importlib.util
    import logging
    from pathlib import Path

    from jewelenh.config import Degradation, Hardware, parse
    from jewelenh.demonstration.checkpoints import find_trained
    from jewelenh.demonstration.server import Server, run, temporary_folder
    from jewelenh.demonstration.session import Session
    from jewelenh.demonstration.upload import Limits
    from jewelenh.errors import JewelenhError
    from jewelenh.refinement.runs import find_checkpoint

    values = plain(cfg)
    server, limits = parse(Server, values["server"], "server"), parse(Limits, values["limits"], "limits")
    hardware = parse(Hardware, values["hardware"], "hardware")
    levels = {name: parse(Degradation, level, f"levels.{name}") for name, level in values["levels"].items()}
    if importlib.util.find_spec("gradio") is None:
        raise JewelenhError("The demo needs Gradio.", fix="pip install 'jewelenh[demo]'")
    output_dir, cache_dir = Path(values["paths"]["output_dir"]), values["paths"]["cache_dir"]
    given = None if values["checkpoint"] == "latest" else find_checkpoint(values["checkpoint"], output_dir)
    trained = functools.partial(find_trained, output_dir, given)
    trained()  # or it says what is missing
    with temporary_folder() as folder:
        session = Session(
            levels,
            values["seed"],
            folder / "results",
            Path(cache_dir) if cache_dir else None,
            hardware,
            values["trust"],
        )
        run(server, limits, session, trained, folder)
    logging.getLogger(__name__).info("demo: ended, its files are deleted")


if __name__ == "__main__":
    main()
