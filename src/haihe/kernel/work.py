"""One use case, one transaction.

Every service wraps its writes in :func:`unit_of_work`. The outermost one opens the transaction;
inner ones join it, and if any fails, all is undone. What must happen last in the transaction (the
evidence log takes its one global lock there, so that it is held for microseconds and always taken
after every other lock) is handed to :func:`before_commit`; what must happen only once the
transaction is safe is handed to :func:`after_commit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

from django.db import DatabaseError, transaction

from haihe.kernel.crash import crash_point
from haihe.kernel.storage import storage_failure

Action = Callable[[], None]
A = TypeVar("A", bound=Action)


class SwallowedFailure(RuntimeError):
    """An inner unit of work failed, and its error was caught before it reached the outer one.

    All is undone, and the caller believes that all is done: a defect, which must not pass for
    success.
    """


class _Work:
    """What the open unit of work still owes before it commits: one action per key."""

    def __init__(self) -> None:
        self.before_commit: dict[str, Action] = {}


_current: ContextVar[_Work | None] = ContextVar("haihe_unit_of_work", default=None)


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Run a block in one database transaction, or join the one that is open."""
    if _current.get() is not None:
        try:
            yield
        except BaseException:
            transaction.set_rollback(True)
            raise
        return
    work = _Work()
    token = _current.set(work)
    try:
        with transaction.atomic():
            yield
            if transaction.get_rollback():
                raise SwallowedFailure("an inner unit of work failed, so nothing was written")
            for action in work.before_commit.values():
                action()
            crash_point("work.before_commit")
        crash_point("work.after_commit")
    except DatabaseError as error:
        failure = storage_failure(error)
        if failure is None:
            raise
        raise failure from error
    finally:
        _current.reset(token)


def in_unit_of_work() -> bool:
    """Whether a unit of work is open in this context."""
    return _current.get() is not None


def before_commit(key: str, action: A) -> A:
    """Run ``action`` once at the end of the open unit of work, whatever often it is asked for.

    Returns the one action of this key, which is that of the first call: an action that is a
    collection gathers what its unit of work owes, and vanishes with it if that is rolled back.
    """
    work = _current.get()
    assert work is not None, "before_commit needs an open unit_of_work"
    return cast(A, work.before_commit.setdefault(key, action))


def after_commit(action: Action) -> None:
    """Run ``action`` when the open transaction has committed; never if it is rolled back."""
    transaction.on_commit(action)
