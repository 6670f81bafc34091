"""Reading clips, calibration, the B-mode region and preprocessing for the network."""
