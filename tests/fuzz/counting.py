"""A task for searches that are to be over at once."""

from __future__ import annotations

from vpo.tasks import task


def rows(split):
    return [{"question": "say one"}]


@task(components=("zeros", "ones"), data=rows, prompt="question")
def count(answer, row):
    return answer.count("0") / 4, answer.count("1") / 4
