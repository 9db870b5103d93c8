import subprocess
import sys

import pytest

import search


def test_importing_search_and_running_a_scripted_one_loads_neither_torch_nor_transformers():
    code = (
        "import sys, search\n"
        "search.run_search, search.Evolution, search.ScriptedSampler, search.best_so_far, search.TaskProblem\n"
        "print(sorted({'torch', 'transformers', 'trl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", search.__all__)
def test_every_public_name_is_there(name):
    assert getattr(search, name).__name__ == name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'beam_search'"):
        _ = search.beam_search
