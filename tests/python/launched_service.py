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

backend, path = sys.argv[1:]
if backend == "eventlet":
    import eventlet

    eventlet.monkey_patch()

from oslo_config import cfg
from oslo_service import backend as backends

# Whatever else of it is imported before this chooses a backend by itself.
backends.init_backend(backends.BackendType(backend))

from oslo_service import service
from served_app import application


class _Handler(wsgiref.simple_server.WSGIRequestHandler):
    def address_string(self):
        return "a client"


class _Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    """Serves each request on a thread, and waits for those under way when it is closed."""

    daemon_threads = False

    def __init__(self, listening):
        socketserver.BaseServer.__init__(self, path, _Handler)
        self.socket = listening
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()
        self.set_app(application)

    def get_request(self):
        connection, _ = self.socket.accept()
        return connection, ("", 0)


class Threads(service.ServiceBase):
    """The service on threads."""

    def __init__(self):
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen()
        self.server = None

    def start(self):
        """Begin to serve, in a worker."""
        self.server = _Server(self.listening)
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


def _greenlets():
    from oslo_service import wsgi

    class Server(wsgi.Server):
        def start(self):
            super().start()
            logging.info("a worker serves")

    return Server(conf, "served", application, socket_family=socket.AF_UNIX, socket_file=path)


conf = cfg.ConfigOpts()
conf([], project="served")
launched = _greenlets() if backend == "eventlet" else Threads()
service.launch(conf, launched, workers=2).wait()
