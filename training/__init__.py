"""Training the network and exporting it as a bundle."""
