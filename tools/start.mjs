#!/usr/bin/env node
// `npm start [-- options]`: the whole system in one process. The scripts of package.json say `exec`, so that the signals
// which npm passes on reach the server and not a shell before it.
import { run } from './run.mjs';

run('standalone');
