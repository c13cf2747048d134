#!/usr/bin/env node
// `npm start [-- options]`: the whole system in one process.
import { run } from './run.mjs';

run('standalone');
