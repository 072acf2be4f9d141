"""The refinement network: turns `input` into `refined`, close to `target`."""
