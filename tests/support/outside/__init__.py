"""Plugins written as by someone who has only the documentation: they import from `gan_bench` alone."""
