"""One self-contained page of a run, and what it shares with the page of an evaluation."""
