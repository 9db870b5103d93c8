"""The program in an answer, and whether two programs are the same but for layout and comments."""

from __future__ import annotations

import ast
import hashlib
import warnings

_PYTHON = ("python", "python3", "py", "py3")
_MOST_PARSED = 1 << 16  # characters; Python's parser can crash on far larger text that is nested deep enough


def extract_program(answer: str) -> str:
    """The code of an answer: its first Python block, closed or not; else its first block of any kind; else all of it.

    Blocks stand between three backticks, with the language on the first line.
    """
    blocks = [block.partition("\n") for block in answer.split("```")[1::2]]
    for language, newline, code in blocks:
        if newline and language.strip().lower() in _PYTHON:
            return code.strip()
    for language, newline, code in blocks[:1]:
        named = newline and len(language.split()) <= 1
        return (code if named else language + newline + code).strip()
    return answer.strip()


def program_label(program: str) -> str:
    """A short name that programs share if they parse to the same syntax tree; of text that is no Python, its words.

    Names, constants and docstrings count as the program's own; comments and layout do not.
    """
    form = " ".join(program.split()).lower()
    if len(program) <= _MOST_PARSED:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an answer's bad escape sequence is nobody's news
                form = ast.dump(ast.parse(program))
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: a null character
            pass
    return hashlib.blake2b(form.encode(errors="surrogatepass"), digest_size=8).hexdigest()
