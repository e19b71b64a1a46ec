"""The one error that detection raises, and the exception of a training that was told to stop."""


class DetectionError(ValueError):
    """A request that cannot be answered, and what to change in it.

    Parameters
    ----------
    code : str
        The code Azure AI Anomaly Detector answered with, such as ``InvalidSeries``.
    message : str
        A full sentence naming the field, the value and what would be right.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Stopped(Exception):  # noqa: N818 - nothing is wrong with it
    """A training was told to stop before its last epoch."""
