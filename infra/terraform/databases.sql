-- A user and a database each for MLflow, Prefect and feedback. By psql, as the owner:
--   psql "$OWNER_URL" -v mlflow="$(openssl rand -hex 24)" -v prefect=… -v feedback=… -f databases.sql
\set ON_ERROR_STOP on

CREATE USER mlflow PASSWORD :'mlflow';
CREATE USER prefect PASSWORD :'prefect';
CREATE USER feedback PASSWORD :'feedback';

-- The owner of an RDS is no superuser: who makes a database of another has to be able to be that one.
GRANT mlflow, prefect, feedback TO CURRENT_USER;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE prefect OWNER prefect;
CREATE DATABASE feedback OWNER feedback;

-- Else each could enter the others'.
REVOKE CONNECT ON DATABASE mlflow, prefect, feedback FROM PUBLIC;
