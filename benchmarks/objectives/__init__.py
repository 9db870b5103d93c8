"""What `maze.py` and `knapsack.py` share: the arms, the table with its controls, and the question of domination."""
