# SPDX-License-Identifier: Apache-2.0
"""SQL databases that fail: what a person is told, and that a service goes on and every notification is accounted for.

Errors that a server has only in need (a full disk, a deadlock) are raised by a trigger: the server says them as it
always does.
"""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest
from cutting import Cutting
from either import ours
from recording import Service
from sql_databases import Database, show, told

from house.waiting import free_port, wait_until
from servers import mariadb_stores, postgresql
from servers.mariadb import MariaDB
from servers.mariadb_stores import MariaDBStores
from servers.postgresql import PostgreSQL
from servers.redis import Redis

ID = "4e3e0ec6-2938-40b1-8504-09eb1d4b0dee"
# Longer than anything takes here.
SECONDS = 120


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDBStores])
def server(request, tmp_path_factory):
    """Return a running server, one of each kind."""
    with request.param(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def database(server):
    """Return an empty database."""
    return Database(server)


@pytest.fixture
def redis(tmp_path):
    """Return a server of another kind."""
    with Redis(tmp_path / "redis") as redis:
        yield redis


@contextlib.contextmanager
def frozen(server):
    """Let the server's processes stand still for as long as the block lasts."""
    pid = server.server.child.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    processes = [pid, *map(int, children)]
    try:
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        threads = [thread for process in processes for thread in Path(f"/proc/{process}/task").iterdir()]
        wait_until(lambda: all(map(_stands_still, threads)), "the server to stand still", SECONDS)
        yield
    finally:
        for process in processes:
            # One that was about to end may have.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def _stands_still(thread):
    """Whether a thread of a process is stopped, or gone; one that ended waits for its parent, which is stopped."""
    with contextlib.suppress(FileNotFoundError):
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] in "TZ"
    return True


def stored(database):
    """Return how many rows of `data` there are."""
    return int(database.ask("SELECT count(*) FROM data"))


# What a person is told.


def test_a_wrong_login_is_told(database, command):
    """The password, the user, the database: with what the server says of it, and what to look at."""
    url = database.url()
    password = postgresql.ENCODED_PASSWORD if database.is_postgresql else mariadb_stores.ENCODED_PASSWORD
    scheme = url.split(":")[0]
    for wrong, expected in [
        (url.replace(password, "s3cret"), "check user, password"),
        (url.replace(scheme + "://", scheme + "://x"), "check user, password"),
        (url.replace("way9", "way9none"), "does not exist" if database.is_postgresql else "Unknown database"),
    ]:
        message = told(command, wrong)
        assert f"cannot connect to `{scheme}://" in message
        assert ":***@" in message
        assert "s3cret" not in message
        assert expected in message


def test_a_server_that_is_not_there_is_told(database, command):
    """Nobody listens."""
    message = told(command, database.url().replace(str(database.server.port), str(free_port())))
    assert "nobody listens there" in message


def test_a_server_that_never_answers_is_left(database, command):
    """It accepts, and says nothing: stopped."""
    with frozen(database.server):
        assert "no answer within" in told(command, database.url("connect_timeout=1&socket_timeout=1"))


def test_a_server_of_another_kind_is_told(database, server, redis, tmp_path, command):
    """Redis, and the other kind of database."""
    port = str(server.port)
    fast = database.url("connect_timeout=5&socket_timeout=5")
    message = told(command, fast.replace(port, redis.url.rsplit(":", 1)[1]))
    assert "is it" in message
    with (MariaDB if database.is_postgresql else PostgreSQL)(tmp_path / "other") as other:
        message = told(command, fast.replace(port, str(other.port)))
    assert "is it" in message


def test_a_certificate_that_nobody_trusts_is_told(database, server, command):
    """And what to name."""
    message = told(command, database.url("tls_verify=true", host="localhost"))
    assert "certificate is not trusted" in message
    assert "tls_ca_file=" in message
    for options in (f"tls_ca_file={server.certificates.authority}", "tls_verify=false"):
        done = command("trace", "list", "--connection-string", database.url(options, host="localhost"))
        assert "cannot" not in done.stderr, done.stderr


def test_a_server_without_tls_is_told(server, tmp_path, command):
    """When TLS was asked for."""
    if isinstance(server, PostgreSQL):
        with PostgreSQL(tmp_path / "plain") as plain:
            plain.ask("ALTER SYSTEM SET ssl = off")
            plain.ask("SELECT pg_reload_conf()")
            url = plain.user_url() + "?sslmode=require"
            wait_until(lambda: plain.ask("SHOW ssl") == "off", "TLS to be off", SECONDS)
            message = told(command, url)
    else:
        with MariaDB(tmp_path / "plain") as plain:
            message = told(command, plain.url + "?ssl_mode=REQUIRED")
    assert "the server does not speak TLS" in message


def test_a_certificate_of_ours_is_shown(database, server, command):
    """To a server that wants one."""
    files = server.certificates
    if database.is_postgresql:
        server.ask(f"CREATE ROLE {postgresql.CERTIFIED} LOGIN")
        options = f"sslmode=verify-full&sslrootcert={files.authority}"
        identity = "&sslcert={}&sslkey={}"
        login = f"{postgresql.USER}:{postgresql.ENCODED_PASSWORD}", postgresql.CERTIFIED
    else:
        who = "certified@'127.0.0.1'"
        server.ask(f"CREATE USER {who} IDENTIFIED BY 'x' REQUIRE X509; GRANT ALL ON *.* TO {who}")
        options = f"ssl_ca={files.authority}"
        identity = "&ssl_cert={}&ssl_key={}"
        login = f"{mariadb_stores.USER}:{mariadb_stores.ENCODED_PASSWORD}", "certified:x"
    without = database.url(options, host="localhost").replace(*login)
    told(command, without)
    with_it = without + identity.format(files.certificate, files.key)
    done = command("trace", "list", "--connection-string", with_it)
    assert "cannot" not in done.stderr, done.stderr


def test_another_programs_table_is_left_alone(database, command):
    """It has the name, and other columns: neither read nor written."""
    database.ask("CREATE TABLE data (id int, x text)")
    owner = postgresql.USER
    if database.is_postgresql:
        database.ask(f"ALTER TABLE data OWNER TO {owner}")
    message = told(command, database.url())
    assert "its tables are not this driver's" in message
    assert "another program's table" in message
    with Service(database.url()) as running:
        running.record(ID, 2)
        counters = running.flush()
        assert (counters["stored"], counters["lost"]) == (0, 4)
        assert "its tables are not this driver's" in running.end()
    assert stored(database) == 0


def test_a_user_who_may_not_make_tables_is_told_what_is_missing(database, server):
    """And goes on with upstream's table alone, where that is there."""
    if database.is_postgresql:
        server.ask("CREATE ROLE poor LOGIN PASSWORD 'poor-s3cret'")
        login = f"{postgresql.USER}:{postgresql.ENCODED_PASSWORD}"
        grant = "GRANT SELECT, INSERT ON data TO poor; GRANT USAGE ON SEQUENCE data_id_seq TO poor"
    else:
        server.ask("CREATE USER poor@'127.0.0.1' IDENTIFIED BY 'poor-s3cret'")
        server.ask(f"GRANT DELETE ON `{database.name}`.* TO poor@'127.0.0.1'")
        login = f"{mariadb_stores.USER}:{mariadb_stores.ENCODED_PASSWORD}"
        grant = "GRANT SELECT, INSERT ON data TO poor@'127.0.0.1'"
    url = database.url().replace(login, "poor:poor-s3cret")
    with Service(url) as running:
        running.record(ID, 1)
        running.await_said("GRANT")
        assert running.flush(0)["waiting"] == 2
    with Service(database.url()) as running:
        running.record(ID, 1)
        assert running.flush()["stored"] == 2
    database.ask(f"DROP TABLE data_error; DROP TABLE data_lost; {grant}")
    with Service(url) as running:
        running.record(ID, 1)
        assert running.flush()["stored"] == 2
    assert stored(database) == 4


# That a service goes on.


def test_a_server_that_is_down_at_first_and_in_the_middle_loses_nothing(server, database):
    """What is recorded meanwhile waits, and is stored once."""
    server.stop()
    with Service(database.url()) as running:
        assert running.record(ID, 10)["recorded"] == 20
        assert running.flush(0.5)["waiting"] == 20
        server.start()
        assert running.flush()["stored"] == 20
        server.stop()
        running.record(ID, 10)
        assert running.flush(0.5)["waiting"] == 20
        server.start()
        assert running.flush()["stored"] == 40
        running.end()
    assert stored(database) == 40


def test_a_server_that_restarts_between_two_batches_is_not_noticed(server, database):
    """The old connection is given up."""
    with Service(database.url()) as running:
        for batch in range(1, 4):
            running.record(ID, 10)
            assert running.flush()["stored"] == 20 * batch
            server.stop()
            server.start()
        running.end()
    assert stored(database) == 60


def test_a_server_that_hangs_keeps_nobody_waiting(server, database):
    """It is left after `socket_timeout`, and what it did not take is stored later, once."""
    with Service(database.url("connect_timeout=2&socket_timeout=5")) as running:
        running.record(ID, 10)
        assert running.flush()["stored"] == 20
        with frozen(server):
            running.record(ID, 10)
            running.await_said("no answer within")
            assert running.flush(0)["waiting"] == 20
        assert running.flush()["stored"] == 40
        running.end()
    assert stored(database) == 40


def test_tables_that_were_removed_are_made_again(database):
    """Whoever lost the data, the next batch is stored."""
    with Service(database.url()) as running:
        running.record(ID, 10)
        assert running.flush()["stored"] == 20
        database.ask("DROP TABLE data; DROP TABLE data_lost")
        running.record(ID, 5)
        assert running.flush()["stored"] == 30
        running.end()
    assert stored(database) == 10


def test_a_table_that_somebody_locks_is_waited_for(database):
    """No longer than `socket_timeout` at a time; the server says what for."""
    waited_in_vain = "lock timeout" if database.is_postgresql else "Lock wait timeout"
    with Service(database.url("socket_timeout=5")) as running:
        running.record(ID, 1)
        assert running.flush()["stored"] == 2
        with holding_a_lock(database):
            running.record(ID, 1)
            running.await_said(waited_in_vain)
            assert running.flush(0)["waiting"] == 2
        assert running.flush()["stored"] == 4
        running.end()
    assert stored(database) == 4


@contextlib.contextmanager
def holding_a_lock(database):
    """Hold a lock of the table for as long as the block lasts."""
    if database.is_postgresql:
        server = database.server
        program = ["psql", "-X", "-q", "-h", str(server.data), "-p", str(server.port), "-U", "postgres", database.name]
        begin = "BEGIN; LOCK TABLE data; SELECT 'locked';\n"
    else:
        login = [f"--user={mariadb_stores.USER}", f"--password={mariadb_stores.PASSWORD}"]
        address = ["--host=127.0.0.1", f"--port={database.server.port}"]
        encoding = "--default-character-set=utf8mb4"
        program = ["mariadb", "--no-defaults", "--unbuffered", encoding, *login, *address, database.name]
        begin = "LOCK TABLE data WRITE; SELECT 'locked';\n"
    client = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        client.stdin.write(begin)
        client.stdin.flush()
        while "locked" not in client.stdout.readline():
            assert client.poll() is None
        yield
    finally:
        client.communicate()


def slow_down(database):
    """Let about every thousandth row that is inserted take a second: no statement has two of them."""
    if database.is_postgresql:
        database.ask(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_sleep(1); RETURN NULL; END$$;"
            "CREATE TRIGGER slow BEFORE INSERT ON data FOR EACH STATEMENT EXECUTE FUNCTION slow()"
        )
    else:
        database.ask(
            "CREATE TRIGGER slow BEFORE INSERT ON data FOR EACH ROW "
            "DO SLEEP((@inserted := COALESCE(@inserted, 0) + 1) % 1000 = 0)"
        )


def test_a_slow_server_is_waited_for_as_long_as_it_goes_on(database):
    """All rows of a batch take longer than `socket_timeout`, those of one statement do not by far."""
    with Service(database.url("socket_timeout=6")) as running:
        running.record(ID, 1)
        assert running.flush()["stored"] == 2
        slow_down(database)
        running.record(ID, 5000)
        assert running.flush()["stored"] == 10_002
        assert "no answer" not in running.end()
    assert stored(database) == 10_002


# SQLSTATEs, MySQL's numbers, and whether what was refused is kept and tried again.
RAISED = {
    "postgresql": [
        ("53100", "waiting"),
        ("40P01", "waiting"),
        ("55P03", "waiting"),
        ("57P01", "waiting"),
        ("25006", "waiting"),
        ("2200H", "waiting"),
        ("42501", "waiting"),
        ("22001", "lost"),
        ("P0001", "lost"),
    ],
    "mariadb": [
        (1114, "waiting"),
        (1021, "waiting"),
        (1213, "waiting"),
        (1205, "waiting"),
        (1290, "waiting"),
        (1467, "waiting"),
        (1142, "waiting"),
        # Group Replication without a majority or with another primary; a proxy that does not reach the server.
        (3100, "waiting"),
        (3101, "waiting"),
        (1105, "waiting"),
        (2013, "waiting"),
        (9001, "waiting"),
        # All numbers are used: in the words of MariaDB, and of MySQL.
        (167, "waiting"),
        (1062, "waiting", "Duplicate entry ''2147483647'' for key ''data.PRIMARY''"),
        # An index that somebody else made.
        (1062, "lost", "Duplicate entry ''x'' for key ''data.only_once''"),
        (1364, "lost"),
        (1644, "lost"),
    ],
}


def refuse(database, code, text="no"):
    """Let the server refuse each row with that code."""
    if database.is_postgresql:
        database.ask(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{text}'; END$$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON data FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    else:
        database.ask(
            "CREATE TRIGGER refuse BEFORE INSERT ON data FOR EACH ROW "
            f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = '{text}'"
        )


def take(database):
    """Let it take rows again."""
    database.ask("DROP TRIGGER refuse" + (" ON data" if database.is_postgresql else ""))


def count_tries(database):
    """Let the server count the rows that it is given; return what asks how many. No rollback takes one back."""
    if database.is_postgresql:
        database.ask(
            "CREATE SEQUENCE tries; CREATE FUNCTION count_try() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
            "$$BEGIN PERFORM nextval('tries'); RETURN NEW; END$$;"
            # Triggers fire in the order of their names.
            "CREATE TRIGGER count_try BEFORE INSERT ON data FOR EACH ROW EXECUTE FUNCTION count_try()"
        )
        query = "SELECT last_value + is_called::int FROM tries"
    else:
        database.ask(
            "CREATE SEQUENCE tries NOCACHE;"
            "CREATE TRIGGER count_try BEFORE INSERT ON data FOR EACH ROW DO NEXTVAL(tries)"
        )
        query = "SELECT next_not_cached_value FROM tries"
    return lambda: int(database.ask(query))


def test_what_a_server_refuses_is_kept_if_that_may_pass(database):
    """A full disk, a deadlock, a standby: tried again. What it will refuse again is lost and counted."""
    kind = "postgresql" if database.is_postgresql else "mariadb"
    with Service(database.url()) as running:
        running.record(ID, 1)
        expected = {"stored": 2, "lost": 0}
        assert running.flush()["stored"] == 2
        tries = count_tries(database)
        for code, becomes, *text in RAISED[kind]:
            refuse(database, code, *text)
            before = tries()
            running.record(ID, 1)
            # What is lost is so by the time that it is flushed; what waits is not flushed before it is taken.
            if becomes == "waiting":
                wait_until(lambda before=before: tries() > before, f"the server to refuse with {code}", SECONDS)
                assert running.flush(0)["waiting"] == 2, code
                expected["stored"] += 2
            else:
                assert running.flush()["waiting"] == 0, code
                expected["lost"] += 2
            # Waits for a statement that is being refused.
            take(database)
            counters = running.flush()
            assert {name: counters[name] for name in expected} == expected, code
        running.end()
    assert stored(database) == expected["stored"]


def test_a_loss_without_an_answer_is_told_once(database, command):
    """The server has it, and the service was not told: it tells it again, and the report counts it once."""
    port = str(database.server.port)
    plain = database.url("sslmode=disable" if database.is_postgresql else "")
    with Cutting(database.server.port) as proxy, Service(plain.replace(port, str(proxy.port))) as running:
        running.record(ID, 1)
        assert running.flush()["stored"] == 2
        refuse(database, "P0001" if database.is_postgresql else 1644)
        # The word is the reason of the loss, in the statement that tells it.
        proxy.cut_after(b"refused")
        running.record(ID, 3)
        assert running.flush()["lost"] == 6
        assert proxy.times == 0
        take(database)
        running.record(ID, 1)
        assert running.flush()["stored"] == 4
        running.end()
    # The first telling, and the same again.
    assert int(database.ask("SELECT sum(count) FROM data_lost")) > 6
    assert show(command, database.url(), ID)["info"]["lost"] == 6


def test_a_table_whose_numbers_are_used_is_told_and_waited_for(database):
    """As upstream makes it, of 32 bits: until somebody widens it, nothing is lost."""
    with Service(database.url()) as running:
        running.record(ID, 1)
        assert running.flush()["stored"] == 2
        if database.is_postgresql:
            database.ask("ALTER SEQUENCE data_id_seq AS integer; SELECT setval('data_id_seq', 2147483647)")
            widen = "ALTER SEQUENCE data_id_seq AS bigint"
        else:
            database.ask(
                "ALTER TABLE data MODIFY id INT NOT NULL AUTO_INCREMENT; UPDATE data SET id = 2147483647 LIMIT 1"
            )
            widen = "ALTER TABLE data MODIFY id BIGINT NOT NULL AUTO_INCREMENT"
        running.record(ID, 1)
        running.await_said(widen)
        assert running.flush(0)["waiting"] == 2
        database.ask(widen)
        assert running.flush()["stored"] == 4
    assert stored(database) == 4


def test_what_is_larger_than_the_server_takes_is_lost_and_nothing_else(server, database, command):
    """The report says how much. PostgreSQL takes anything that can be recorded."""
    lost = 0 if database.is_postgresql else 2
    if lost:
        server.ask("SET GLOBAL max_allowed_packet = 65536")
    try:
        with Service(database.url()) as running:
            running.record(ID, 10)
            running.record(ID, 2, 100_000)
            running.record(ID, 10)
            counters = running.flush()
            assert (counters["stored"], counters["lost"]) == (44 - lost, lost)
            running.end()
    finally:
        if lost:
            server.ask("SET GLOBAL max_allowed_packet = 16777216")
    assert stored(database) == 44 - lost
    assert show(command, database.url(), ID)["info"].get("lost", 0) == lost


def test_a_fork_in_the_middle_leaves_both_with_a_connection_of_their_own(database):
    """Upstream's child hangs in the client's library."""
    text = f"""
        import os, sys
        from osprofiler import _native, notifier, profiler
        notifier.set(notifier.create(sys.argv[1], project="p", service="s", host="h"))

        def record():
            profiler.init("key", "{ID}")
            for _ in range(200):
                with profiler.Trace("x"):
                    pass
            profiler.clean()
            counters = _native.flush({SECONDS})
            assert (counters["waiting"], counters["lost"]) == (0, 0), counters

        record()
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                record()
                os._exit(0)
            children.append(child)
        record()
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        record()
    """
    ours(text, database.url())
    assert stored(database) == 6 * 400
