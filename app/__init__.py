"""How people reach endometer: the command line."""
