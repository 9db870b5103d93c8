"""`vpo monitor`: its options, and what it does."""
