"""The embedded servers start, answer, and stay apart from each other."""

import psycopg2
import redis


def test_a_valkey_starts_and_answers(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.ping()
        assert client.dbsize() == 0


def test_a_postgresql_starts_and_answers(empty_database_url: str) -> None:
    with psycopg2.connect(empty_database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchone() == (0,)
