#!/usr/bin/env node
// The command line: `npx rekey …`, `npm run rekey -- …` or this file itself.
import { run } from './run.mjs';

run('cli');
