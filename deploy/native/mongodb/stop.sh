#!/bin/sh
# Stops what start.sh started on a data folder, and waits until it is gone: stop.sh DATA_FOLDER
exec "$(dirname "$0")/../stop.sh" "$@"
