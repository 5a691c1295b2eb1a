"""The one error of the sandbox: it cannot start, or was asked for something that it has not."""


class SandboxError(Exception):
    """The sandbox cannot do what it was asked for.

    Args:
        message: What is wrong, naming the setting, in one line.
        hint: What to type instead; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
