"""What `fit` is made of: measures, steps, sums over processes, schedules, the best weights, and checkpoints."""
