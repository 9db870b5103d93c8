"""A policy behind an OpenAI-compatible endpoint, for tools that search with any such model.

``make_app`` builds the application around a sampler, ``serve`` runs it in the foreground (as ``vpo serve`` does),
``serving`` in a thread. Needs the extra ``serve`` (Starlette and uvicorn).
"""

from search.serve.app import make_app
from search.serve.server import TOKEN_VARIABLE, serve, serving

__all__ = ["TOKEN_VARIABLE", "make_app", "serve", "serving"]
