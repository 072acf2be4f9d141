"""Paired tensors: their contract, writing, splitting, checking, importing and serving."""
