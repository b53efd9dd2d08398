# SPDX-License-Identifier: Apache-2.0
"""What tests tell gunicorn beside its arguments: a worker says so once it can be told to end."""


def post_worker_init(worker):
    worker.log.info("a worker serves")
