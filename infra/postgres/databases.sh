#!/bin/bash
# A database for each of MLflow, Prefect and the feedback, with an owner of its own that can enter no other.
# The server's image runs this once, when its folder is empty.
set -eu
for name in mlflow prefect feedback; do
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<END
\set password \`cat "${SECRETS:-/run/secrets}/$name"\`
CREATE ROLE $name LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE $name OWNER $name;
REVOKE ALL ON DATABASE $name FROM PUBLIC;
END
done
