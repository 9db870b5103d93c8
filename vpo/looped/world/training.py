"""Training a world model: on short windows, at random depths, partly on its own predictions; and it resumes.

Every update draws windows, a depth for each sequence and step (Poisson, gradient through the last few loops), and for
each step whether it sees the true observation or its own prediction of it (scheduled sampling, Bengio et al.,
1506.03099): a rollout sees only the latter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vpo.looped.depth import DepthPolicy
from vpo.looped.world.model import LoopedWorldModel
from vpo.looped.world.transitions import Transitions

#: Called after each update with its number, the number of all, and the loss.
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainingPlan:
    """How a world model is trained.

    Args:
        updates: Optimizer steps.
        batch_size: Windows of one update.
        lr: Highest learning rate of AdamW, after the warmup; it falls to 0 along a cosine.
        weight_decay: None on biases, norms, the injection and the gate.
        warmup: Updates with a rising learning rate.
        see: Chance that a step after the first sees the true observation, in [0, 1].
        max_norm: Gradients are clipped to this norm.
        save_every: Updates between two checkpoints.
        seed: Of the order of the data and of all draws.

    Raises:
        ValueError: A number is out of its range.
    """

    updates: int = 1000
    batch_size: int = 64
    lr: float = 2e-3
    weight_decay: float = 0.01
    warmup: int = 50
    see: float = 0.5
    max_norm: float = 1.0
    save_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("updates", "batch_size", "lr", "max_norm", "save_every"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: expected a number above 0.")
        if not 0 <= self.see <= 1:
            raise ValueError(f"see is {self.see}: expected a chance in [0, 1].")


def train(
    model: LoopedWorldModel,
    data: Transitions,
    plan: TrainingPlan,
    folder: Path | str | None = None,
    depth_policy: DepthPolicy | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Train ``model`` in place.

    The model's standardisation is taken from the data. With ``folder``, a checkpoint is written there every
    ``save_every`` updates and on Ctrl-C; called again with the same plan, training goes on where it was, to the same
    weights as without the interruption.

    Args:
        model: A new model, or one to train on.
        data: Windows to learn from, as :meth:`~vpo.looped.world.Transitions.windows` cuts them.
        plan: How.
        folder: For checkpoints; none are kept by default.
        depth_policy: Who draws the depths; ``model.config.training_depth`` by default.
        progress: Called after each update.

    Returns:
        The loss of each update.

    Raises:
        ValueError: ``folder`` holds a checkpoint of another plan or model.
        FloatingPointError: The loss is not finite any more.
    """
    depth = model.config.training_depth if depth_policy is None else depth_policy
    data = data.to(model.device)
    model.standardise(data)

    def loss(batch: Transitions) -> Tensor:
        see = (torch.rand(batch.mask.shape) < plan.see).to(batch.mask.device)
        out = model(
            batch.observations, batch.actions, batch.rewards, batch.continues, batch.mask, see, depth_policy=depth
        )
        assert out.loss is not None
        return out.loss

    trained = {name: each for name, each in model.named_parameters() if "halt_gate" not in name}
    model.train()
    losses = optimise(trained, loss, data, plan, None if folder is None else Path(folder) / "training.pt", progress)
    model.eval()
    return losses


def optimise(
    parameters: dict[str, nn.Parameter],
    loss: Callable[[Transitions], Tensor],
    data: Transitions,
    plan: TrainingPlan,
    path: Path | None,
    progress: Progress | None = None,
) -> list[float]:
    """Minimise ``loss`` over ``parameters`` on random batches, from the checkpoint at ``path`` if there is one."""
    plain = [each for name, each in parameters.items() if each.ndim < 2 or "injection" in name]
    rest = [each for name, each in parameters.items() if each.ndim >= 2 and "injection" not in name]
    groups = [{"params": rest, "weight_decay": plan.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=plan.lr, betas=(0.9, 0.98))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, plan))
    losses: list[float] = []

    def save(random: Tensor) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            held = {name: each.detach() for name, each in parameters.items()}
            parts = {"parameters": held, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
            torch.save({"plan": asdict(plan), "losses": losses, "random": random, **parts}, temporary)
            temporary.replace(path)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        if path is not None and path.exists():
            saved = torch.load(path, weights_only=True)
            _check_saved(saved, parameters, plan, path)
            with torch.no_grad():
                for name, each in parameters.items():
                    each.copy_(saved["parameters"][name])
            optimizer.load_state_dict(saved["optimizer"])
            scheduler.load_state_dict(saved["scheduler"])
            torch.set_rng_state(saved["random"])
            losses += saved["losses"]
        is_whole = True  # no update is half done
        random = torch.get_rng_state()
        try:
            while len(losses) < plan.updates:
                value = loss(data.take(torch.randint(len(data), (plan.batch_size,)).to(data.mask.device)))
                if not bool(torch.isfinite(value)):
                    raise FloatingPointError(
                        f"the loss is {value.item()} at update {len(losses) + 1}; the weights are those before it. "
                        f"Lower lr ({plan.lr}), or use an injection that bounds the state."
                    )
                optimizer.zero_grad()
                value.backward()
                torch.nn.utils.clip_grad_norm_(parameters.values(), plan.max_norm)
                is_whole = False
                optimizer.step()
                scheduler.step()
                losses.append(value.item())
                random, is_whole = torch.get_rng_state(), True
                if len(losses) % plan.save_every == 0 or len(losses) == plan.updates:
                    save(random)
                if progress is not None:
                    progress(len(losses), plan.updates, losses[-1])
        except KeyboardInterrupt:
            if is_whole:  # else the last checkpoint is the latest state that is one
                save(random)
            raise
    return losses


def _rate(step: int, plan: TrainingPlan) -> float:
    """Factor of the learning rate: a linear warmup and a cosine to 0."""
    rising = min(1.0, (step + 1) / max(plan.warmup, 1))
    share = torch.tensor(min(1.0, step / plan.updates))
    return rising * 0.5 * (1 + float(torch.cos(torch.pi * share)))


def _check_saved(saved: dict, parameters: dict[str, nn.Parameter], plan: TrainingPlan, path: Path) -> None:
    shapes = {name: each.shape for name, each in parameters.items()}
    if saved["plan"] != asdict(plan) or {name: each.shape for name, each in saved["parameters"].items()} != shapes:
        changed = sorted(name for name, value in asdict(plan).items() if saved["plan"].get(name) != value)
        other = f"plan: {', '.join(changed)} changed" if changed else "model"
        raise ValueError(
            f"{path} is a checkpoint of another {other}. Choose another folder, or delete the file to begin anew."
        )
