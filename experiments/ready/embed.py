"""Put the weights of a run into the package: python experiments/ready/embed.py outputs/train/<run>.

As float16, without what the run knows of its own photos; `evaluate checkpoint=ready` finds the embedded sample in their
place, of which the network has seen none.
"""

import sys
from dataclasses import replace
from pathlib import Path

from jewelenh.refinement.checkpoint import read_checkpoint
from jewelenh.refinement.weights import find_checkpoint, write_weights
from jewelenh.runs import READY

trained = read_checkpoint(find_checkpoint(Path(sys.argv[1]), Path()))
sample = {"source": {"kind": "sample"}, "pairs": {"placement": trained.geometry.placement}}
write_weights(replace(trained, config={**trained.config, **sample}), READY, half=True)
print(f"{READY.name}: {READY.stat().st_size / 1e6:.2f} MB, step {trained.step}")
