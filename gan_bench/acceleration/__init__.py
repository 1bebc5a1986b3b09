"""Faster iterations: traced, compiled, recorded as CUDA graphs, stacked over seeds."""
