import { atRate, requestBytes, type LoadOptions, type LoadResult, type RequestBytes } from './load';
import { median } from './latencies';
import { short, type Figure, type Goal } from './report';
import { DOMAIN_ID, type Credentials } from './seed';

/** Options and paths of a run of the benchmarks. */
export interface BenchContext {
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
  readonly connections: number;
  /** Number of secrets in the large store. */
  readonly large: number;
  /** Root folder of the repository. */
  readonly root: string;
  /** Folder with the bundles, one folder per app. */
  readonly apps: string;
  /** Bundle of the standalone server. */
  readonly standalone: string;
  /** Bundle of the bare server. */
  readonly bare: string;
  /** Bundle of the bare server that reads from MongoDB. */
  readonly bareMongo: string;
  /** Script of the oidc-provider server; undefined when it is not installed. */
  readonly oidc: string | undefined;
  /** Temporary folder, removed at the end. */
  readonly folder: string;
  readonly say: (line: string) => void;
}

export const AUTHENTICATE_PATH = `/api/v1/domains/${DOMAIN_ID}/authenticate`;

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

/** Returns one check request per credentials. */
export const checkRequests = (credentials: readonly Credentials[], token: string): RequestBytes[] =>
  credentials.map(({ clientId, clientSecret }) =>
    requestBytes('POST', AUTHENTICATE_PATH, bearer(token), JSON.stringify({ clientId, clientSecret })),
  );

/** Something that is measured alternately with others. */
export interface Contender {
  readonly name: string;
  run(): Promise<LoadResult>;
  /** Expected status of every answer. */
  readonly status: number;
}

/** Above this share of a core, the load generator itself may be the bottleneck. */
const OWN_CPU_SHARE_MAX = 0.85;
/** Above this many cores used by other programs, throughput and latency are not reliable. */
export const OTHERS_CORES_MAX = 0.15;

/**
 * Measures contenders alternately, every other round in reverse order, so that changes on the machine affect all of them
 * alike. Returns the results per contender, by round. Throws on an unexpected status.
 */
export const takeTurns = async (
  contenders: readonly Contender[],
  rounds: number,
  say: (line: string) => void,
): Promise<Map<string, LoadResult[]>> => {
  const results = new Map<string, LoadResult[]>(contenders.map(({ name }) => [name, []]));
  // Warm-up: compilers and caches.
  for (const contender of contenders) await contender.run();
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contenders : [...contenders].reverse();
    for (const contender of order) {
      const result = await contender.run();
      const { perSecond, statuses, ownCpuShare, othersCores } = result;
      const wrong = Object.keys(statuses).find((status) => Number(status) !== contender.status);
      if (wrong !== undefined || result.answers === 0)
        throw new Error(
          `${contender.name}: got statuses ${JSON.stringify(statuses)}, expected only ${contender.status}.`,
        );
      results.get(contender.name)?.push(result);
      const notes = [
        `generator ${Math.round(ownCpuShare * 100)} % of a core`,
        ...(ownCpuShare > OWN_CPU_SHARE_MAX ? ['THE GENERATOR IS SATURATED'] : []),
        ...(othersCores > OTHERS_CORES_MAX ? [`OTHER PROGRAMS TOOK ${short(othersCores)} CORES`] : []),
      ];
      say(`  round ${round + 1}: ${contender.name} ${Math.round(perSecond)}/s (${notes.join(', ')})`);
    }
  }
  return results;
};

/** Returns a figure: the median of the values of all rounds, with their range. */
export const figure = (
  name: string,
  what: string,
  unit: string,
  values: readonly number[],
  more: { goal?: Goal; details?: Record<string, unknown> } = {},
): Figure => ({
  name,
  what,
  unit,
  value: median(values),
  ...(values.length > 1 && { range: [Math.min(...values), Math.max(...values)] as const }),
  ...more,
});

/** Returns the ratio of two throughputs per round: a disturbance slows both contenders of a round. */
export const pairedRatios = (above: readonly LoadResult[], below: readonly LoadResult[]): number[] =>
  above.map((result, round) => result.perSecond / (below[round]?.perSecond ?? NaN));

/** Returns the ratio of two CPU times per answer, which other programs hardly influence. */
export const pairedCpuRatios = (above: readonly LoadResult[], below: readonly LoadResult[]): number[] =>
  above.map((result, round) => result.serverCpuUs / (below[round]?.serverCpuUs ?? NaN));

export const throughputs = (results: readonly LoadResult[] = []): number[] => results.map(({ perSecond }) => perSecond);

export const cpuTimes = (results: readonly LoadResult[] = []): number[] =>
  results.map(({ serverCpuUs }) => serverCpuUs);

export const othersCores = (...results: readonly (readonly LoadResult[])[]): number[] =>
  results.flat().map((result) => result.othersCores);

interface LatencyOptions {
  /** Prefix of the names of the figures. */
  readonly name: string;
  readonly what: string;
  readonly load: LoadOptions;
  readonly perSecond: number;
  readonly rounds: number;
  readonly p99Goal?: Goal | undefined;
}

/** Measures the latency at a fixed rate. Returns the figures `<name>.p50` and `<name>.p99`. */
export const latencyFigures = async ({
  name,
  what,
  load,
  perSecond,
  rounds,
  p99Goal,
}: LatencyOptions): Promise<Figure[]> => {
  const runs: LoadResult[] = [];
  for (let round = 0; round < rounds; round++) runs.push(await atRate({ ...load, perSecond }));
  return [50, 99].map((percent) => {
    const times = runs.map(({ latencies }) => latencies.percentile(percent));
    const goal = percent === 99 && p99Goal ? { goal: p99Goal } : {};
    return figure(`${name}.p${percent}`, `${what}: p${percent} at ${perSecond}/s`, 'ms', times, goal);
  });
};
