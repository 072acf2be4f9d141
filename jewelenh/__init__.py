"""jewelenh: jewellery product photos that look the way the piece looks."""

__version__ = "0.1.0"
