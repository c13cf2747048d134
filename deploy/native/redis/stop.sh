#!/bin/sh
# Stops the engine on a data folder and waits until it has ended: stop.sh DATA_FOLDER
exec "$(dirname "$0")/../stop.sh" "$@"
