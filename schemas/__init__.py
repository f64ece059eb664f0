"""Contracts: what each topic carries, defined once for the decoder, the JSON Schema files and the reader."""
