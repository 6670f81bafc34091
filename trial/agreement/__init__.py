"""How far readers and models agree: pure statistics, their tables, and one page."""
