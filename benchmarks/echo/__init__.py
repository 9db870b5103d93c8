"""Echo Chamber in miniature: what `echo_chamber.py` trains, how it reads the rollouts, and its table."""
