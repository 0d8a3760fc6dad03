"""What must be mended in Heat 27 to run it on sqlite, in one process, without Keystone, at a test's pace.

None changes what Heat decides, or in which order: only the database's locking, waiting, and two defects that
would end a long test run.
"""

import contextlib
import threading
import time
import types

POLL_S = 0.1
"""Seconds between two looks at a running resource; Heat's own is 1."""


def before_import() -> None:
    """Mends of the libraries below Heat."""
    sqlite()
    transport()


def after_import() -> None:
    """Mends of Heat itself."""
    stored_context()
    literal_eval()
    thread_leak()
    sleeps()


def sqlite() -> None:
    """Make sqlite do under threads what the servers that Heat is made for do."""
    from oslo_db.sqlalchemy import enginefacade
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    @event.listens_for(Engine, "connect")
    def set_up(connection, _record):
        if type(connection).__module__.startswith("sqlite3"):
            for pragma in (
                "busy_timeout=30000",
                "journal_mode=WAL",
                "synchronous=OFF",  # it is thrown away after the tests
                # Without it Heat deletes raw templates that resources still use, and the stack wedges for good.
                "foreign_keys=ON",
            ):
                connection.execute(f"PRAGMA {pragma}")

    # A transaction that is going to write takes the write lock when it begins. One that began by reading cannot
    # get it later: "database is locked" at once, whatever the busy timeout.
    writes = threading.local()
    session = enginefacade._TransactionContext._session

    @contextlib.contextmanager
    def session_that_tells(self, savepoint=False, context=None):
        before = getattr(writes, "now", False)
        writes.now = self.mode is enginefacade._WRITER
        try:
            with session(self, savepoint=savepoint, context=context) as resource:
                yield resource
        finally:
            writes.now = before

    enginefacade._TransactionContext._session = session_that_tells

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def begin(connection, _cursor, statement, parameters, _context, _many):
        if statement == "BEGIN" and connection.dialect.name == "sqlite" and getattr(writes, "now", False):
            statement = "BEGIN IMMEDIATE"
        return statement, parameters


def transport() -> None:
    """Wake the in-process transport's listeners; they poll every 50 ms, once for each hop of a call."""
    from oslo_messaging._drivers import impl_fake

    delivered = threading.Condition()
    deliver = impl_fake.FakeExchange.deliver_message

    def deliver_and_wake(self, *args, **kwargs):
        deliver(self, *args, **kwargs)
        with delivered:
            delivered.notify_all()

    def sleep(seconds):
        with delivered:
            delivered.wait(seconds)

    impl_fake.FakeExchange.deliver_message = deliver_and_wake
    impl_fake.time = types.SimpleNamespace(time=time.time, sleep=sleep)


def stored_context() -> None:
    """Answer for Keystone when a stored context (a signal's, an alarm's) asks for its roles and domains.

    Without it signals are accepted with 200 and do nothing.
    """
    from heat.common import context

    def load(self):
        self._keystone_loaded = True
        self.roles = ["admin", "member", "reader"]
        self.user_domain_id = "default"
        self.project_domain_id = "default"

    context.StoredContext._load_keystone_data = load


def literal_eval() -> None:
    """Read sync points without building a syntax tree.

    CPython 3.11 counts the depth of that per interpreter, not per thread: with many threads at it, some get a
    SystemError. What is read is what Heat itself has written.
    """
    from heat.engine import sync_point

    sync_point.ast = types.SimpleNamespace(literal_eval=lambda text: eval(text, {"__builtins__": {}}))


def thread_leak() -> None:
    """Let a stack forget its finished threads.

    Since Heat 25 it keeps them all, and after a thousand (about one for each event) refuses any further action on
    that stack: about a hundred heals.
    """
    from heat.engine import service

    add = service.ThreadGroup.add_thread

    def add_and_forget(self, function, *args, **kwargs):
        thread = add(self, function, *args, **kwargs)
        thread.link(lambda _: self.thread_done(thread))
        return thread

    service.ThreadGroup.add_thread = add_and_forget


def sleeps() -> None:
    """Leave out the second that Heat sleeps after each leaf of the graph, and look at what runs every POLL_S."""
    from heat.engine import scheduler, stack

    stack.time = types.SimpleNamespace(time=time.time, sleep=lambda _: time.sleep(0))
    sleep = scheduler.TaskRunner._sleep

    def sleep_less(self, seconds):
        sleep(self, min(seconds, POLL_S) if seconds else seconds)

    scheduler.TaskRunner._sleep = sleep_less
