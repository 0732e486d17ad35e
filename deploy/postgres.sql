-- The application's user, who owns its database and may do nothing else. Runs once, on an empty volume.
\getenv password SAGESTREAM_PASSWORD
CREATE ROLE sagestream LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE sagestream OWNER sagestream;
REVOKE CONNECT ON DATABASE sagestream FROM PUBLIC;
