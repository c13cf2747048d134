import { GENERATED_PARAMETERS, IMPORTED_PARAMETERS } from '@rekey/adapters/hashing';
import { randomBytes } from 'node:crypto';
import { figure } from '../bench';
import { Latencies } from '../latencies';
import type { Figure } from '../report';
import { defaultHasher } from '../seed';

/** Measures single Argon2id verifications, one after the other, in this process. */
export const measureArgon2 = async (): Promise<Figure[]> => {
  const hasher = defaultHasher();
  const figures: Figure[] = [];
  for (const [origin, parameters, times] of [
    ['generated', GENERATED_PARAMETERS, 500],
    ['imported', IMPORTED_PARAMETERS, 50],
  ] as const) {
    const value = randomBytes(32).toString('base64url');
    const verifier = await hasher.hash(value, origin);
    const latencies = new Latencies();
    for (let time = 0; time < times; time++) {
      const startedMs = performance.now();
      if (!(await hasher.verify(verifier, value))) throw new Error('The verifier does not match its own value.');
      latencies.add(performance.now() - startedMs);
    }
    const { memoryKiB, iterations, parallelism } = parameters;
    const what = `Argon2id verify, ${origin} values (m=${memoryKiB} KiB, t=${iterations}, p=${parallelism})`;
    figures.push(
      figure(`argon2.${origin}.p50`, `${what}: p50`, 'ms', [latencies.percentile(50)], {
        ...(origin === 'generated' && { goal: { atMost: 1 } }),
        details: { p99Ms: latencies.percentile(99), verifications: times },
      }),
    );
  }
  return figures;
};
