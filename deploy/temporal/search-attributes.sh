#!/bin/bash
# Registers the search attributes that runs carry. Needs TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE; changes nothing twice.
set -eu -o pipefail
names=(ColdbackupSite ColdbackupProcedure ColdbackupPhase ColdbackupOutcome)

# The default namespace is made by the server's own set-up, after it says that it serves.
for ((attempt = 1; ; attempt++)); do
  if there="$(temporal operator search-attribute list)"; then break; fi
  if ((attempt == 60)); then
    echo "namespace ${TEMPORAL_NAMESPACE} of ${TEMPORAL_ADDRESS} does not answer" >&2
    exit 1
  fi
  sleep 1
done

for name in "${names[@]}"; do
  if grep -qw "${name}" <<<"${there}"; then
    echo "${name} is there"
  else
    temporal operator search-attribute create --name "${name}" --type Keyword
  fi
done
