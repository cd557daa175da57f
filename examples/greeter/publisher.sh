#!/bin/sh
# Publishes one user.created event for each name given, John if there is none.
# All it needs is the mbus command; the broker is the one of MBUS_URL.
set -eu

[ $# -gt 0 ] || set -- John

id=0
for name in "$@"; do
	id=$((id + 1))
	mbus publish user.created "{\"id\":\"$id\",\"name\":\"$name\"}"
done
