"""The control plane: moto, an implementation of AWS for tests, as a server on loopback, and by a socket file.

Hosts of a lab have no way to this machine's loopback. They have its file system, so an instance reaches the same
server through its own loopback (``door``), at the same port: an address that was signed here holds there.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from hopscope.aws.actual import POLICY
from hopscope.errors import ToolMissing
from hopscope.hosts.netns import NetnsExecutor
from hopscope.hosts.process import Process
from hopscope.hosts.ready import ListeningPort

SWEEP = Path(__file__).with_name("sweep.py")
SWEEP_SECONDS = 20.0


class Control:
    """moto with nothing in it. ``url`` is where it listens."""

    def __init__(self) -> None:
        # Nobody asks it for an image's properties, and to parse a thousand costs a second.
        os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        try:
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
            from werkzeug.serving import make_server
        except ImportError as error:
            raise ToolMissing("the doubles of AWS need moto: pip install 'hopscope[aws-doubles]'") from error
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._folder = Path(tempfile.mkdtemp(prefix="hopscope-"))  # a name short enough for a socket
        self._sweeper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SWEEP)], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        self.sweep(self._folder)
        self._folder.chmod(0o711)
        self._socket = self._folder / "aws"
        app: Any = DomainDispatcherApplication(create_backend_app)
        self._servers = [
            make_server("127.0.0.1", 0, app, threaded=True),
            make_server(f"unix://{self._socket}", 0, app, threaded=True),
        ]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()
        self.port = int(self._servers[0].server_port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.reset()

    def door(self, host: NetnsExecutor, directory: Path) -> Process:
        """The server at the same address as seen from a host."""
        return host.spawn(
            [
                *("socat", f"TCP4-LISTEN:{self.port},bind=127.0.0.1,reuseaddr,fork"),
                f"UNIX-CONNECT:{self._socket}",
            ],
            name="aws-door",
            ready=ListeningPort(self.port),
            directory=directory,
        )

    def reset(self) -> None:
        """Everything that was made is gone."""
        from moto.core.base_backend import BackendDict
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.core.utils import utcnow
        from moto.iam.models import AWSManagedPolicy, iam_backends

        BackendDict.reset()
        # Of the policies that AWS itself has, the one that is needed: all thousand cost seconds.
        iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
        now = utcnow()
        kind: Any = AWSManagedPolicy
        policy = kind(
            POLICY.rpartition("/")[2],
            account_id="aws",
            region="aws",
            default_version_id="v1",
            path="/",
            document='{"Version": "2012-10-17", "Statement": []}',
            create_date=now,
            update_date=now,
        )
        iam.managed_policies[POLICY] = policy

    def sweep(self, directory: Path) -> None:
        """Have a directory taken away when we have gone, however we went."""
        assert self._sweeper.stdin is not None
        self._sweeper.stdin.write(f"{directory}\n")
        self._sweeper.stdin.flush()

    def close(self) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
        self._sweeper.communicate(timeout=SWEEP_SECONDS)
