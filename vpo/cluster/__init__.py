"""Several machines: a connection to a Ray cluster, and a crew of actors on it that work may lose and outlive.

Needs the extra ``ray`` (``pip install 'vpo[ray]'``); nothing here imports Ray before it is used. What stands on it:
:class:`vpo.sandbox.RaySandbox` runs generated code on all nodes, :class:`search.RaySampler` samples on them.
"""
