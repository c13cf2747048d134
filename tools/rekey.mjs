#!/usr/bin/env node
// The CLI: `npx rekey …` or `npm run rekey -- …`.
import { run } from './run.mjs';

run('cli');
