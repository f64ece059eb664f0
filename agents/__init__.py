"""The programs: Faust wiring, the command line and the live page; what they do is decided in ``streams``."""
