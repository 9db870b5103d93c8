"""Parts of `screening_world.py`: mazes with a scripted policy, world models of them, predictors, and one search."""
