"""One model's training: draws, iterations, optimisers, state."""
