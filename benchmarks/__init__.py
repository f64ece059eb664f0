"""How fast the flow is, beside plain Faust on the same events: ``python -m benchmarks``."""
