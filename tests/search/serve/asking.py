"""A served script, and requests to it."""

from __future__ import annotations

import httpx

CHAT = [{"role": "user", "content": "a b"}]


def script(prompt, prefix, seed):
    shown = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return f"{' ' if prefix else ''}{shown} {seed} end"


def post(url, path="completions", **body):
    return httpx.post(f"{url}/{path}", json=body, timeout=60)


def ask(url, path="completions", **body):
    response = post(url, path, **body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(url, path="completions", status=400, **body):
    response = post(url, path, **body)
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error
