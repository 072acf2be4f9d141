"""jewelenh: jewellery product photos that look the way the piece looks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jewelenh.restoration.restorer import Restorer

__version__ = "0.1.0"
__all__ = ["Restorer"]


def __getattr__(name: str) -> object:
    """Import `Restorer` when it is asked for: `import jewelenh` stays free of torch."""
    if name == "Restorer":
        from jewelenh.restoration.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
