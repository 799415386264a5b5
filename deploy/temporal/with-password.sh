#!/bin/bash
# Runs its arguments with the database password of POSTGRES_PASSWORD_FILE in POSTGRES_PWD, which is all that Temporal's
# image reads. So the password is in no compose file, and `docker inspect` does not show it.
set -eu
if [[ ! -s ${POSTGRES_PASSWORD_FILE} || ! -r ${POSTGRES_PASSWORD_FILE} ]]; then
  echo "user $(id -u) cannot read a password from ${POSTGRES_PASSWORD_FILE}: see docs/docker-compose.md, \"The password\"" >&2
  exit 1
fi
POSTGRES_PWD="$(<"${POSTGRES_PASSWORD_FILE}")"
export POSTGRES_PWD
exec "$@"
