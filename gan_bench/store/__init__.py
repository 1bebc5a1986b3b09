"""Run folders, written so that a kill at any moment loses nothing."""
