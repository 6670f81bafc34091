"""The U-Net, the bundle it lives in and the runtimes that turn a batch into probabilities."""
