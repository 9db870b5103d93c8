"""The maze study behind `vpo demo` and `benchmarks/maze.py`: stages that can be killed at any moment and started again.

Warm start one looped policy, train it further under each objective with the same number of generated tokens, draw pools
of answers on held-out mazes, search with the trained policies. Each stage runs in a process of its own and leaves its
result in the run's folder, so a stage that is done is never done twice.
"""
