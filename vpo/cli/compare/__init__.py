"""`vpo compare`: one recipe under several objectives and seeds, at equal generated tokens, into one table.

Every run is a process of its own that trains from its own recipe file and then answers the test prompts; a stopped
comparison goes on where it was, run by run and, within a run, from the last checkpoint.
"""
