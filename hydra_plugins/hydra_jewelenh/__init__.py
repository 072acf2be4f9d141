"""Hydra finds plugins under this name alone: launchers for one machine, SLURM and Ray, and a search with Optuna."""
