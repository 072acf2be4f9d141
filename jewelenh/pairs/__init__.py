"""Paired tensors: their contract, writing, splitting, checking, adopting and serving."""
