"""`vpo serve`: a policy behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vpo.cli.saying import say


@dataclass(frozen=True)
class Serving:
    """What `vpo serve` was asked for; see its options."""

    model: str
    host: str
    port: int
    name: str | None
    batch_size: int
    max_new_tokens: int
    answers: int | None
    tag: str
    chat_template: Path | None


def run_serve(asked: Serving) -> int:
    """Load a policy and serve it until Ctrl-C.

    Raises:
        ValueError: The server's libraries are missing, there is no such model, or the address needs a token.
        OSError: The address cannot be listened at.
    """
    try:
        from search.serve.server import TOKEN_VARIABLE, check_access, listen, serve
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("starlette", "uvicorn"):
            raise
        raise ValueError(
            f"{missing} is not installed, expected Starlette and uvicorn: pip install 'vpo[serve]'."
        ) from None
    from search.batching import DynamicBatcher
    from search.model_sampler import ModelSampler
    from vpo.answers import AnswerFormat
    from vpo.cli.models import load_model, require_tokenizer

    token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
    check_access(asked.host, token)  # before a model is loaded for minutes
    listen(asked.host, asked.port).close()  # so is the port
    tokenizer = require_tokenizer(asked.model)
    if asked.chat_template is not None:
        tokenizer.chat_template = asked.chat_template.read_text(encoding="utf-8")
    sampler = ModelSampler(load_model(asked.model).eval(), tokenizer, batch_size=asked.batch_size)
    name = asked.name or _served_name(asked.model)
    say(f"serving {name} at http://{asked.host}:{asked.port}/v1 ({_who(token)}); Ctrl-C ends it")
    if not tokenizer.chat_template:
        say("its tokenizer has no chat template: only /v1/completions will answer (or give --chat-template)")
    serve(
        DynamicBatcher(sampler, max_batch=asked.batch_size),
        name,
        host=asked.host,
        port=asked.port,
        token=token,
        default_tokens=asked.max_new_tokens,
        answer_format=None if asked.answers is None else AnswerFormat(num_answers=asked.answers, tag=asked.tag),
    )
    return 0


def _served_name(model: str) -> str:
    """A folder's last part, or the name on the hub."""
    path = Path(model)
    return path.resolve().name if path.is_dir() else model


def _who(token: Any) -> str:
    return "no token: this machine only" if token is None else "with the token of the environment as key"
