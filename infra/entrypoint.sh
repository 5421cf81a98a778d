#!/bin/sh
# Secrets are mounted as files, so that neither an image nor an inspected container tells them. Here those with the name
# of a variable become that variable, for this process and its children; the rest are read as files.
set -eu
for file in "${SECRETS:-/run/secrets}"/*; do
    name=${file##*/}
    case $name in
        [!A-Z]* | *[!A-Z0-9_]*) continue ;;
    esac
    [ -f "$file" ] || continue
    value=$(cat "$file")
    export "$name=$value"
done
exec "$@"
