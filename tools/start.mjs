#!/usr/bin/env node
// `npm start [-- options]`: runs Rekey in one process. The scripts in package.json use `exec`, so that signals from npm
// reach the server and not a shell.
import { run } from './run.mjs';

run('standalone');
