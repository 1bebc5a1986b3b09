"""Faster iterations: traced, compiled, captured as CUDA graphs, stacked over seeds."""
