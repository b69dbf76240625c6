"""Signals that strike while the file is in use: held back while it is taken and let go of, and never lost.

Ctrl-C is an exception between any two steps of the main thread, so also between a lock that is taken and the
``try`` that gives it back; and DuckDB, which it interrupts, makes an error of its own of it. Signals that no
Python function handles are left alone: they end the process, and the operating system lets go of the file.
"""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, _GeneratorContextManager, contextmanager
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# the first is put back last
_SIGNALS: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGALRM") if hasattr(signal, name)
]


class Watch:
    """Stands in for the handlers of signals while a ``with`` block runs; what they do, they do all the same.

    In threads that are not the main one there is nothing to do: no signal arrives there.

    Attributes:
        holding: whether signals are held back, as in the beginning; the block says when not. Those that were
            held back to the end strike then.
        cancel: called when a handler raises, for what goes on in other threads and would not hear of it.

    Example:
        >>> try:
        ...     with Watch():
        ...         signal.raise_signal(signal.SIGINT)
        ...         print("held back")
        ... except KeyboardInterrupt:
        ...     print("heard")
        held back
        heard
    """

    __slots__ = ("_noted", "_over", "_raised", "_usual", "cancel", "holding")

    def __init__(self) -> None:
        self.holding = True
        self.cancel: Callable[[], object] | None = None
        self._over = False
        self._usual: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._noted: list[tuple[int, FrameType | None]] = []
        self._raised: BaseException | None = None

    def __enter__(self) -> Watch:
        if threading.current_thread() is threading.main_thread():
            try:
                for number in _SIGNALS:
                    usual = signal.getsignal(number)
                    if callable(usual):
                        self._usual[number] = usual
                        signal.signal(number, self._on_signal)
            except BaseException:
                self._end()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What a handler raised comes out, whatever became of it on the way."""
        self._end()
        raised, self._raised = self._raised, None
        try:
            if raised is not None and raised is not error and (error is None or isinstance(error, Exception)):
                raise raised from None
        finally:
            del raised  # else it lives in its own traceback, with all that the frames there hold

    def hear(self) -> None:
        """Lets strike what was held back; the place for it is where nothing was taken yet, or a ``try``."""
        while self._noted:
            self._strike(*self._noted.pop(0))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        ending = frame is not None and frame.f_code in _ENDS
        if (self.holding or ending) and not self._over:
            self._noted.append((number, frame))
        else:
            self._strike(number, frame)

    def _strike(self, number: int, frame: FrameType | None) -> None:
        try:
            # not raised anew: who listens to the descriptor of set_wakeup_fd has heard of it
            self._usual[number](number, frame)
        except BaseException as error:
            if not self._over:
                self._raised = error
                if self.cancel is not None:
                    self.cancel()
            raise

    def _end(self) -> None:
        """Puts the handlers back, and lets every signal strike that was held back."""
        try:
            # a block that was left to the garbage collector may end in any thread
            if threading.current_thread() is threading.main_thread():
                for number, usual in reversed(self._usual.items()):
                    if signal.getsignal(number) == self._on_signal:
                        signal.signal(number, usual)
        finally:
            self._over = True  # one that stays in place by a bad chance hands on what comes
            self._hear_all()

    def _hear_all(self) -> None:
        if self._noted:
            try:
                self._strike(*self._noted.pop(0))
            finally:
                self._hear_all()


class _Block(AbstractContextManager[_T]):
    """A context manager whose end comes even if a signal strikes between its beginning and the block."""

    def __init__(self, inner: AbstractContextManager[_T]) -> None:
        self._inner = inner

    def __enter__(self) -> _T:
        try:
            return self._inner.__enter__()
        except BaseException as error:
            # nothing, if it came to nothing by itself
            self._inner.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._inner.__exit__(kind, error, trace)


_ENDS: Final[set[CodeType]] = {_Block.__exit__.__code__, _GeneratorContextManager.__exit__.__code__}
"""Where a signal would keep the end of a block from being reached."""


def block(function: Callable[_P, Iterator[_T]]) -> Callable[_P, AbstractContextManager[_T]]:
    """``contextlib.contextmanager`` for what must be let go of, whenever a signal strikes."""
    made = contextmanager(function)

    @functools.wraps(function)
    def begin(*args: _P.args, **kwargs: _P.kwargs) -> AbstractContextManager[_T]:
        return _Block(made(*args, **kwargs))

    return begin
