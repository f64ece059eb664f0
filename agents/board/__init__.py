"""The live page: numbers of all workers in one place, for people who look at it first."""
