"""Where Hydra's `-m` meets `jewelenh.sweeps`: the job's side, the driver's side, and the claim of a training."""
