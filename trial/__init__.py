"""The study: what readers and models measured, and how far they agree."""
