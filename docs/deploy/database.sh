#!/bin/sh
# The server's role and database, made as the image of PostgreSQL makes its data. The image's own role is a superuser,
# for whom `letta-kernel sql` answers nothing.
set -eu
psql --username "${POSTGRES_USER:-postgres}" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 <<'SQL'
\set password `cat "${SECRETS:-/run/secrets}/postgres"`
CREATE ROLE letta LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE letta OWNER letta TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
SQL
