import { requestBytes, type LoadResult, type RequestBytes } from './load';
import { median } from './latencies';
import { short, type Figure, type Goal } from './report';
import { DOMAIN_ID, type Credentials } from './seed';

/** How long and how often things are measured, and where the parts lie. */
export interface BenchContext {
  readonly rounds: number;
  readonly roundMs: number;
  readonly warmUpMs: number;
  readonly connections: number;
  /** Secrets of the large store. */
  readonly large: number;
  /** Folder of the project. */
  readonly root: string;
  /** Folder of our bundles, a folder for each app. */
  readonly apps: string;
  /** Bundle of the standalone server. */
  readonly standalone: string;
  /** Bundle of the bare server. */
  readonly bare: string;
  /** Bundle of the bare server that reads from MongoDB. */
  readonly bareMongo: string;
  /** Script of oidc-provider's server; undefined where it is not installed. */
  readonly oidc: string | undefined;
  /** A folder that is removed at the end. */
  readonly folder: string;
  readonly say: (line: string) => void;
}

export const AUTHENTICATE_PATH = `/api/v1/domains/${DOMAIN_ID}/authenticate`;

export const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

/** Requests of the check, one for each of some credentials. */
export const checkRequests = (credentials: readonly Credentials[], token: string): RequestBytes[] =>
  credentials.map(({ clientId, clientSecret }) =>
    requestBytes('POST', AUTHENTICATE_PATH, bearer(token), JSON.stringify({ clientId, clientSecret })),
  );

/** Something that is measured in turn with others. */
export interface Contender {
  readonly name: string;
  run(): Promise<LoadResult>;
  /** The only status that its answers may have. */
  readonly status: number;
}

/** From this share of a core on, the generator may be what is measured. */
const OWN_CPU_SHARE_MAX = 0.85;
/** From here on, throughputs and latencies say more of the machine's other users than of the server. */
export const OTHERS_CORES_MAX = 0.15;

/**
 * Lets contenders take turns, every other round in the opposite order, so that what changes on the machine meanwhile
 * meets all of them alike. Answers the results of each, by round. Throws where an answer has another status.
 */
export const takeTurns = async (
  contenders: readonly Contender[],
  rounds: number,
  say: (line: string) => void,
): Promise<Map<string, LoadResult[]>> => {
  const results = new Map<string, LoadResult[]>(contenders.map(({ name }) => [name, []]));
  // Once for nothing: compilers and caches.
  for (const contender of contenders) await contender.run();
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contenders : [...contenders].reverse();
    for (const contender of order) {
      const result = await contender.run();
      const { perSecond, statuses, ownCpuShare, othersCores } = result;
      const wrong = Object.keys(statuses).find((status) => Number(status) !== contender.status);
      if (wrong !== undefined || result.answers === 0)
        throw new Error(`${contender.name}: answers ${JSON.stringify(statuses)}, expected only ${contender.status}.`);
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

/** The middle of some values, one of each round. */
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

/** Values of two contenders, divided round by round: what slowed down a round slowed down both. */
export const pairedRatios = (above: readonly LoadResult[], below: readonly LoadResult[]): number[] =>
  above.map((result, round) => result.perSecond / (below[round]?.perSecond ?? NaN));

/** The same with processor times, which other programs on the machine hardly change. */
export const pairedCpuRatios = (above: readonly LoadResult[], below: readonly LoadResult[]): number[] =>
  above.map((result, round) => result.serverCpuUs / (below[round]?.serverCpuUs ?? NaN));

export const throughputs = (results: readonly LoadResult[] = []): number[] => results.map(({ perSecond }) => perSecond);
