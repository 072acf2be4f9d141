"""Hydra finds plugins under this name alone: a launcher for Ray, a sweeper that goes on with a search."""
