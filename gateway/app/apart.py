"""The configuration read by a process apart: the modules and the memory that reading takes end with it."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable

from gateway.model import Site


def read_apart(read: Callable[[], Site]) -> Site:
    """What ``read`` returns, read in a child; where it ends the program, this one ends with its code.

    Only before any thread has been started.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _tell(read, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code or not said:
        raise SystemExit(code or 1)
    site: Site = pickle.loads(said)  # noqa: S301 - of our own child
    return site


def _tell(read: Callable[[], Site], writer: int) -> None:
    code = 1
    try:
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(read(), pipe, pickle.HIGHEST_PROTOCOL)
        code = 0
    except SystemExit as error:  # what is wrong has been told
        code = error.code if isinstance(error.code, int) and error.code else 1
    except BaseException as error:  # noqa: BLE001 - the child ends here, whatever it is; its code tells
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
