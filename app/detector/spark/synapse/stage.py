"""What all stages have in common with those of SynapseML 1.1.3: params, and how they are set."""

import difflib
import functools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pyspark.errors import AnalysisException
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql.functions import col

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Stage", "param", "value_or_column"]

_Method = TypeVar("_Method", bound=Callable[..., Any])

_log = logging.getLogger(__name__)

# Where the service was, how it knew its caller, and how it was called: there is no service here.
_OF_THE_SERVICE = (
    "AADToken",
    "AADTokenCol",
    "CustomAuthHeader",
    "CustomAuthHeaderCol",
    "CustomHeaders",
    "CustomServiceName",
    "CustomUrlRoot",
    "DefaultInternalEndpoint",
    "Endpoint",
    "LinkedService",
    "Location",
    "SubscriptionKey",
    "SubscriptionKeyCol",
    "TelemHeaders",
    "Url",
    "Backoffs",
    "Concurrency",
    "ConcurrentTimeout",
    "Handler",
    "InitialPollingDelay",
    "MaxPollingRetries",
    "PollingDelay",
    "SuppressMaxRetriesException",
    "Timeout",
)


def param(name: str, doc: str, converter: Callable[[Any], Any]) -> Param[Any]:
    """Return a param of a class of stages, which gets its setter and its getter by it."""
    return Param(Params._dummy(), name, doc, converter)


def value_or_column(
    name: str, doc: str, converter: Callable[[Any], Any]
) -> tuple[Param[Any], Param[Any]]:
    """Return two params: one value for all rows, or the column that has each row's.

    Setting one clears the other.
    """
    column = f"The column that has for each row: {doc}"
    return param(name, doc, converter), param(f"{name}Col", column, TypeConverters.toString)


class Stage(Params, DefaultParamsReadable["Stage"], DefaultParamsWritable):
    """The base of all stages.

    A subclass says what params it has, as attributes; each gets ``setX`` and ``getX``. Its
    constructor takes all of them by their names. The settings of the service are taken too, and
    forgotten: no key is kept or saved.

    Raises
    ------
    TypeError
        For a name that is none, or a value that has another type; the message names it.
    """

    outputCol = param("outputCol", "What is found.", TypeConverters.toString)
    errorCol = param(
        "errorCol", "What the service would have refused with, or null.", TypeConverters.toString
    )
    # By the names of params, beside those of the two columns above.
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, **given: Any) -> None:
        super().__init__()
        columns = {"outputCol": f"{self.uid}_output", "errorCol": f"{self.uid}_error"}
        self._setDefault(**columns, **self.defaults)
        self.setParams(**given)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in [name for name in dir(cls) if isinstance(getattr(cls, name, None), Param)]:
            for prefix, make in (("set", _setter), ("get", _getter)):
                method = prefix + _capital(name)
                if not hasattr(cls, method):
                    setattr(cls, method, make(cls, name, method))

    def setParams(self, **given: Any) -> "Self":
        """Set params by their names; None leaves one as it is."""
        for name, value in given.items():
            setter = getattr(self, f"set{_capital(name)}", None)
            if setter is None:
                raise TypeError(_no_such(self, name))
            if value is not None:
                setter(value)
        return self

    def require(self, *names: str) -> None:
        """Raise ValueError when one of these params has neither a value nor a column."""
        missing = [name for name in names if not self._is_given(name)]
        if missing:
            setters = " and ".join(f"set{_capital(name)}" for name in missing)
            raise ValueError(
                f"Missing required params: ({', '.join(missing)}). Call {setters} of the "
                f"{type(self).__name__}."
            )

    def _is_given(self, name: str) -> bool:
        either = [each for each in (name, f"{name}Col") if self.hasParam(each)]
        return any(self.isDefined(each) for each in either)

    def column(self, dataset: DataFrame, name: str) -> Column:
        """Return the column that a param names.

        Raises
        ------
        ValueError
            When the table has no such column.
        """
        column = self.getOrDefault(name)
        try:
            dataset.select(column)
        except AnalysisException as error:
            raise ValueError(
                f"There is no column {column!r}, which the param '{name}' of the "
                f"{type(self).__name__} names; the table has {', '.join(dataset.columns)}."
            ) from error
        return col(column)


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _setter(cls: type[Stage], name: str, method: str) -> Callable[[Stage, Any], Stage]:
    other = name.removesuffix("Col") if name.endswith("Col") else f"{name}Col"

    def set_param(self: Stage, value: Any) -> Stage:
        self._set(**{name: value})
        if self.hasParam(other):
            self.clear(self.getParam(other))
        return self

    return _named(set_param, cls, method, f"Set `{name}`: {getattr(cls, name).doc}")


def _getter(cls: type[Stage], name: str, method: str) -> Callable[[Stage], Any]:
    def get_param(self: Stage) -> Any:
        return self.getOrDefault(name)

    return _named(get_param, cls, method, f"Return `{name}`: {getattr(cls, name).doc}")


def _unused(name: str) -> Callable[[Stage, Any], Stage]:
    def set_nothing(self: Stage, value: Any) -> Stage:
        _note_unused()
        return self

    return _named(set_nothing, Stage, f"set{name}", "Do nothing: there is no service to call.")


def _named(function: _Method, cls: type, name: str, doc: str) -> _Method:
    function.__name__, function.__qualname__ = name, f"{cls.__name__}.{name}"
    function.__module__, function.__doc__ = cls.__module__, doc
    return function


@functools.cache
def _note_unused() -> None:
    """Say it once in a process, however many stages and settings there are."""
    _log.warning(
        "The settings of Azure's service (subscription key, location, URL, concurrency and the "
        "like) have no effect here: detection runs on Spark and calls no service."
    )


def _no_such(stage: Stage, name: str) -> str:
    known = [each.name for each in stage.params]
    close = difflib.get_close_matches(name, known, 1)
    hint = f": did you mean '{close[0]}'?" if close else f"; it has {', '.join(known)}."
    return f"{type(stage).__name__} has no param '{name}'{hint}"


for _name in _OF_THE_SERVICE:
    setattr(Stage, f"set{_name}", _unused(_name))
