# SPDX-License-Identifier: Apache-2.0
"""Several stores at once, as ``redis://h, sqlite:///traces.db`` names them.

In: the connection strings of one text. Out: one driver. It writes each notification to each store: the native half to
its own from one recording, with a queue for each, a driver that is made in Python on the thread of the point. It reads
the first store that can be read and has what is asked for. A store that refuses costs the others
nothing; one that does not answer delays them.
"""

import logging

from osprofiler import _native
from osprofiler.drivers import base, store

LOG = logging.getLogger(__name__)


def get_driver(connection_string, *args, **kwargs):
    """Return the driver for several connection strings; what is wrong with one of them is told in the log.

    :raises Exception: the first one's, if there is a driver for none of them
    """
    drivers, parts = [], []
    failure = None
    for part in _native.split_connection_strings(connection_string):
        try:
            driver = base.get_driver(part, *args, **kwargs)
            if _is_native(driver):
                for connection in driver._stores():
                    _native.check_connection(connection)
            drivers.append(driver)
            parts.append(part)
        except Exception as error:
            text = "osprofiler sends nothing to `%s`, one of several stores: %s"
            LOG.error(text, *_masked(part, error))
            failure = failure or error
    if not drivers:
        raise failure
    kind = NativeStores if all(map(_is_native, drivers)) else Stores
    several = kind(connection_string, drivers, *args, **kwargs)
    # What the log says of it: without those that get nothing.
    several._sends_to = ", ".join(parts)
    return several


class NativeStores(store.StoreDriver):
    """Stores that the native half writes.

    :param drivers: the drivers of the stores, a list; the others as of any driver
    """

    def __init__(self, connection_str, drivers, project=None, service=None, host=None, **kwargs):
        super().__init__(connection_str, project, service, host, **kwargs)
        self.drivers = drivers

    def _check(self):
        """Leave it to each driver."""

    @classmethod
    def get_name(cls):
        """Return what error messages call it; no scheme means it alone."""
        return "several"

    def _stores(self):
        return [connection for driver in self.drivers if _is_native(driver) for connection in driver._stores()]

    def get_report(self, base_id):
        """Return the report of a trace, of the first store that has it."""
        return self._ask(lambda driver: driver.get_report(base_id), lambda report: report.get("children"))

    def list_traces(self, fields=None):
        """Return the traces of the first store that has some."""
        return self._ask(lambda driver: driver.list_traces(fields), bool)

    def list_error_traces(self):
        """Return the traces with errors of the first store that has some."""
        return self._ask(lambda driver: driver.list_error_traces(), bool)

    def _ask(self, question, has_it):
        """Return the first answer that has what was asked for, else the first answer. Raise if there is none."""
        answers, failures = [], []
        # One that is written only knows of nothing.
        for driver in list(filter(_may_be_read, self.drivers)) or self.drivers:
            try:
                answer = question(driver)
            except NotImplementedError as error:
                failures.append(error)
            except Exception as error:
                failures.append(error)
                LOG.warning("`%s` is passed over: %s", *_masked(driver.connection_str, error))
            else:
                if has_it(answer):
                    return answer
                answers.append(answer)
        if answers:
            return answers[0]
        raise failures[0]


class Stores(NativeStores):
    """Stores some of which drivers made in Python write: each is called, in order, on the thread of the point."""

    def _attach(self):
        return super()._attach() if any(map(_is_native, self.drivers)) else None

    def notify(self, info, **kwargs):
        """Give one notification, a dict, to each store. What drivers raise is raised again once all were called."""
        failure = None
        try:
            if self._attach():
                super().notify(info)
        except Exception as error:
            failure = error
        for driver in self.drivers:
            if not _is_native(driver):
                try:
                    driver.notify(dict(info), **kwargs)
                except Exception as error:
                    failure = failure or error
        if failure:
            raise failure


def _is_native(driver):
    """Whether the native half writes what the driver gets."""
    return isinstance(driver, store.StoreDriver) and type(driver).notify is store.StoreDriver.notify


def _may_be_read(driver):
    """Whether to ask the driver. One that cannot say so says why when it is asked."""
    try:
        return not _is_native(driver) or any(map(_native.can_read, driver._stores()))
    except Exception:
        return True


def _masked(connection_string, error):
    """Return the connection string and the error's text, without what is secret."""
    text = _native.mask_text(_native.safe_str(error), connection_string)
    return _native.mask(connection_string), text
