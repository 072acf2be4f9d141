"""Download a Kaggle data set with Kaggle's own client, once."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import shutil
from pathlib import Path

from jewelenh.errors import SourceError
from jewelenh.files import explained, write_atomically

log = logging.getLogger(__name__)

DONE_FILE = ".complete"


def download_dataset(dataset: str, folder: Path) -> Path:
    """Return `folder` with the unpacked data set `owner/name` in it; a complete one is not downloaded again.

    It is unpacked beside its place and renamed at the end, so a broken download is never taken for a data set.

    Raises:
        SourceError: no credentials, no such data set, no network; each with the fix.
    """
    if (folder / DONE_FILE).is_file():
        return folder
    api = _authenticated_client()
    partial = folder.with_name(f".{folder.name}.partial")
    with explained(folder):
        partial.mkdir(parents=True, exist_ok=True)
    log.info("downloading the Kaggle data set %s to %s", dataset, folder)
    try:
        api.dataset_download_files(dataset, path=str(partial), unzip=True, quiet=False)  # type: ignore[attr-defined]
    except (Exception, SystemExit) as error:
        raise SourceError(
            f"The Kaggle data set could not be downloaded: {_short(error)}",
            where=f"source.dataset={dataset}",
            fix=f"check https://www.kaggle.com/datasets/{dataset}, your network and your key, or download it by hand "
            "and use source=folder source.root=<folder>",
        ) from error
    with explained(folder):
        write_atomically(partial / DONE_FILE, dataset.encode())
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    return folder


def _authenticated_client() -> object:
    if importlib.util.find_spec("kaggle") is None:
        raise SourceError("The Kaggle client is not installed.", fix="pip install 'jewelenh[kaggle]'")
    with contextlib.redirect_stdout(io.StringIO()):  # the client prints its own long help and may exit
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi
        except (Exception, SystemExit) as error:
            raise SourceError(
                f"The Kaggle client cannot be loaded: {_short(error)}", fix="pip install 'jewelenh[kaggle]'"
            ) from error
        try:
            api = KaggleApi()
            api.authenticate()
            return api
        except (Exception, SystemExit) as error:
            raise SourceError(
                "There are no Kaggle credentials.",
                expected="KAGGLE_USERNAME and KAGGLE_KEY in the environment, or ~/.kaggle/kaggle.json",
                fix="make a key at https://www.kaggle.com/settings (API, Create New Token), or use source=folder",
            ) from error


def _short(error: BaseException) -> str:
    text = str(error) or repr(error)
    return text.splitlines()[0][:300]
