"""Errors as the OpenAI API gives them: a status, and what was wrong in a JSON object."""

from __future__ import annotations

from starlette.responses import JSONResponse

_MOST_SHOWN = 1000  # characters of a message


class ApiError(Exception):
    """A request that is not answered.

    Args:
        message: What was wrong, what was expected, how to mend it.
        status: HTTP status.
        param: The field that was wrong.
        kind: OpenAI's ``type`` of the error.
        code: OpenAI's ``code``.
        retry_after_s: Seconds after which it may be tried again.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        kind: str = "invalid_request_error",
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self._kind = kind
        self._code = code
        self._retry_after_s = retry_after_s

    def response(self) -> JSONResponse:
        """The error on the wire."""
        # What was sent may come back in it: not at any length, and no half pairs, which UTF-8 cannot write
        message, param = (None if each is None else _printable(each) for each in (str(self), self.param))
        error = {"message": message, "type": self._kind, "param": param, "code": self._code}
        headers = {} if self._retry_after_s is None else {"retry-after": str(self._retry_after_s)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse({"error": error}, status_code=self.status, headers=headers)


def _printable(text: str) -> str:
    shown = text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 3] + "..."
    return shown.encode("utf-8", "backslashreplace").decode()
