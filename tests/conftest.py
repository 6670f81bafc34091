"""Makes the helpers in this folder importable by every test: pytest puts it on the path."""
