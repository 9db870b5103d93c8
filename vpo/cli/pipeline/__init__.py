"""`vpo pipeline`: one file takes a pretrained checkpoint to a searched policy, in stages that can be killed any time.

Fetch a model, convert it to a looped one, heal it, train it, answer the test prompts with every policy on the way, look
at the training's log, search with the policies. Each stage runs in a process of its own, in a folder of its own; one
that is done is never done twice, and one that is not goes on from its checkpoint.
"""
