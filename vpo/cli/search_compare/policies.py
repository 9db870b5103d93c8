"""The policies of a comparison as samplers: loaded when first asked, so that what the ledgers hold needs no model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from search.records import Generation, Request
from search.samplers import Sampler
from vpo.cli.search_compare.config import Policy
from vpo.model_folder import may_be_on_the_hub

_KINDS = (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt")
_LEFT_OUT = ("training_args.bin", "trainer_state.json")
_EDGE = 1 << 16  # bytes read at either end of a file: weights of two training runs differ in their first tensor


class LazySampler:
    """A sampler that is made when it is first asked to sample.

    Args:
        identity: What names its completions; part of a ledger's identity.
        make: Makes the sampler.
    """

    def __init__(self, identity: Mapping[str, Any], make: Callable[[], Sampler]) -> None:
        self._identity = dict(identity)
        self._make = make
        self._sampler: Sampler | None = None

    def sample(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer the requests, in order."""
        if self._sampler is None:
            self._sampler = self._make()
        return self._sampler.sample(requests)

    def describe(self) -> dict[str, Any]:
        """Which policy this is."""
        return dict(self._identity)


def model_of(policy: Policy, seed: int) -> str:
    """The policy's model under a seed."""
    return policy.model.replace("{seed}", str(seed))


def open_policy(policy: Policy, seed: int, batch_size: int) -> LazySampler:
    """The sampler of a policy.

    Args:
        policy: Which one.
        seed: Takes the place of ``{seed}`` in its model's name.
        batch_size: Rows in one call of a model that runs here.

    Raises:
        ValueError: Its model's folder is not there.
    """
    model = model_of(policy, seed)
    if policy.server is not None:
        options = dict(policy.server)

        def connect() -> Sampler:
            made: Sampler = _server_class()(model=model, **options)
            return made

        # Where a server listens is no part of what it says
        own = {key: value for key, value in options.items() if key not in ("base_url", "api_key_env")}
        return LazySampler({"name": "server", "model": model, **own}, connect)
    folder = Path(model).expanduser()
    if ("{seed}" in policy.model or not may_be_on_the_hub(model)) and not folder.is_dir():
        raise ValueError(
            f"policy {policy.name!r} names {model}, which is no folder: expected one with a model, or a name on the "
            "hub. Mend the path."
        )

    def load() -> Sampler:
        from search.model_sampler import ModelSampler
        from vpo.cli.models import load_model, require_tokenizer

        return ModelSampler(load_model(model), require_tokenizer(model), batch_size=batch_size)

    if folder.is_dir():  # by content: a folder may be moved, and the model in it may be trained anew
        return LazySampler({"name": "model", "files": fingerprint(folder)}, load)
    return LazySampler({"name": "model", "model": model}, load)


def fingerprint(folder: Path) -> str:
    """Hash of a model's files: names, sizes, and both ends of each. Neither its place nor its dates matter."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(folder.iterdir(), key=lambda each: each.name):
        if path.suffix not in _KINDS or path.name in _LEFT_OUT or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_EDGE))
            file.seek(max(0, size - _EDGE))
            digest.update(file.read(_EDGE))
    return digest.hexdigest()


def _server_class() -> Any:
    try:
        return import_module("search.openai_sampler").OpenAISampler
    except ModuleNotFoundError as error:
        raise ValueError(
            f"policies behind a server need {error.name}, which is not there: expected this version of vpo to have a "
            "sampler for servers. Name a folder or a hub id, without `server`."
        ) from error
