# SPDX-License-Identifier: Apache-2.0
"""The service of served_app.py as oslo.service launches it: two workers, forked after everything was set up.

In: a backend of oslo.service, `eventlet` or `threading`, and the path of the socket to listen on. Each backend serves
HTTP as services on it do: the one by oslo.service's own server, the other by threads.
"""

import logging
import socket
import socketserver
import sys
import threading
import wsgiref.simple_server

from oslo_config import cfg
from oslo_service import backend as backends
from oslo_service.backend.base import ServiceBase


def main(backend, path):
    """Launch the service and wait for its end."""
    if backend == "eventlet":
        import eventlet

        eventlet.monkey_patch()
    backends.init_backend(backends.BackendType(backend))
    # Imported before, it chooses a backend by itself.
    from oslo_service import service
    from served_app import application

    conf = cfg.ConfigOpts()
    conf([], project="served")
    launched = Threads(application, path) if backend == "threading" else greenlets(conf, application, path)
    service.launch(conf, launched, workers=2).wait()


def greenlets(conf, application, path):
    """Return the service on greenlets."""
    from oslo_service import wsgi

    class Greenlets(wsgi.Server):
        def start(self):
            super().start()
            logging.info("a worker serves")

    return Greenlets(conf, "served", application, socket_family=socket.AF_UNIX, socket_file=path)


class Threads(ServiceBase):
    """The service on threads."""

    def __init__(self, application, path):
        self.application = application
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen()
        # Both workers are told of a connection, and whoever comes second must not wait for the next.
        self.listening.setblocking(False)

    def start(self):
        """Begin to serve, in a worker."""
        self.server = _Server(self.listening, self.application)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        logging.info("a worker serves")

    def stop(self):
        """Take no more requests, and end those under way."""
        self.server.shutdown()
        self.server.server_close()

    def wait(self):
        """Wait for the end of `stop`."""
        self.thread.join()

    def reset(self):
        """Begin anew: there is nothing to."""


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """Serves each request on a thread, and waits for those under way when it is closed."""

    daemon_threads = False

    def __init__(self, listening, application):
        socketserver.BaseServer.__init__(self, "localhost", _Handler)
        self.socket = listening
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()
        self.set_app(application)

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("", 0)


class _Handler(wsgiref.simple_server.WSGIRequestHandler):
    def address_string(self):
        return "a client"


if __name__ == "__main__":
    main(*sys.argv[1:])
