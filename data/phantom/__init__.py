"""The phantom: simulated transvaginal clips whose outline and thickness are known exactly."""
