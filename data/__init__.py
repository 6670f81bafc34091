"""Finding inputs, and the phantom: simulated clips whose thickness is known."""
