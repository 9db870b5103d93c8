"""Acrobot-v1 of gymnasium: a chaotic double pendulum, whose steps differ in how much computation they take.

An action is held for ``REPEAT`` of the environment's steps, as is usual for world models (Dreamer, 1912.01603, holds it
as long). Sequences start anywhere in the state space, so that slow and fast motion both occur. The reward vector is
gymnasium's reward and the height of the tip.

**Difficulty**, defined before any model was trained and without one: the evaluations of the equations of motion that an
adaptive Runge-Kutta solver (scipy's RK45, relative tolerance 1e-6) needs for the step. It chooses its step size by the
local error, so it works more where the motion is more curved.
"""

from __future__ import annotations

import gymnasium
import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from vpo.looped.world import Episode, Transitions

REPEAT = 2
SPREAD = np.array([np.pi, np.pi, 2 * np.pi, 4.5 * np.pi])  # angles everywhere, half of the highest velocities


def record(count: int, steps: int, seed: int, measure: bool = True) -> tuple[Transitions, Tensor]:
    """Random actions from random states, until the tip reaches its goal or the recording stops.

    Returns:
        The sequences, and the difficulty (N, T) of each step, 0 if it is not measured.
    """
    env, rng = _new(seed)
    episodes, work = [], []
    while len(episodes) < count:
        env.state = rng.uniform(-1, 1, 4) * SPREAD
        if not env._terminal():
            episode, effort = _play(env, rng.integers(3, size=steps), measure)
            episodes.append(episode)
            work.append(effort + [0] * (steps - len(effort)))
    data = Transitions.of(episodes)
    return data, torch.tensor(work, dtype=torch.float32)[:, : data.horizon]


def record_long(count: int, steps: int, seed: int) -> Transitions:
    """Sequences of exactly ``steps`` steps: they start slowly, and those that reach the goal are left out."""
    env, rng = _new(1_000_000 + seed)
    episodes = []
    while len(episodes) < count:
        env.state = rng.uniform(-1, 1, 4) * SPREAD * [0.3, 0.3, 0.1, 0.1]
        episode, _ = _play(env, rng.integers(3, size=steps), measure=False)
        if len(episode.actions) == steps and not episode.ended:
            episodes.append(episode)
    return Transitions.of(episodes)


def _new(seed: int):
    env = gymnasium.make("Acrobot-v1", disable_env_checker=True).unwrapped
    env.reset(seed=seed)
    return env, np.random.default_rng(seed)


def _play(env, actions: np.ndarray, measure: bool) -> tuple[Episode, list[int]]:
    observations, rewards, effort, ended = [env._get_ob()], [], [], False
    for action in map(int, actions):
        effort.append(evaluations(env, action) if measure else 0)
        paid = 0.0
        for _ in range(REPEAT):
            observation, reward, ended, *_ = env.step(action)
            paid += float(reward)
            if ended:
                break
        observations.append(observation)
        rewards.append([paid, -np.cos(env.state[0]) - np.cos(env.state[0] + env.state[1])])
        if ended:
            break
    episode = Episode(
        torch.tensor(np.stack(observations), dtype=torch.float32),
        torch.as_tensor(actions[: len(rewards)]),
        torch.tensor(rewards, dtype=torch.float32),
        bool(ended),
    )
    return episode, effort


def evaluations(env, action: int) -> int:
    """Evaluations of the equations of motion that the adaptive solver needs to hold ``action`` for one step."""
    start = np.append(env.state, env.AVAIL_TORQUE[action])
    span = (0.0, REPEAT * env.dt)
    return int(solve_ivp(lambda _, s: np.array(env._dsdt(s)), span, start, rtol=1e-6, atol=1e-6).nfev)
