"""jewelenh: jewellery product photos that look the way the piece looks."""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import `Restorer` when it is asked for: `import jewelenh` stays free of torch."""
    if name == "Restorer":
        from jewelenh.restorer import Restorer

        return Restorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
