import {
  checkRequests,
  cpuTimes,
  figure,
  latencyFigures,
  othersCores,
  pairedCpuRatios,
  pairedRatios,
  takeTurns,
  throughputs,
  type BenchContext,
} from '../bench';
import { saturate, type LoadOptions, type LoadResult } from '../load';
import { startPrinting, type RekeyServer, type Running } from '../processes';
import type { Figure } from '../report';
import type { Credentials } from '../seed';

/** Latency is measured at this share of the throughput of the slower server. */
const LATENCY_LOAD_SHARE = 0.5;
const LATENCY_ROUNDS_MAX = 3;
const GOAL = { atLeast: 0.8 };

/** MongoDB collection of the authentication view. */
export interface ViewPlace {
  readonly uri: string;
  readonly database: string;
  readonly collection: string;
}

/**
 * Measures the check at the gateway, next to a bare server that reads the same view through the same driver.
 * `installationCpuMs` returns the CPU time of all services and engines.
 */
export const measureServicesCheck = async (
  context: BenchContext,
  gateway: RekeyServer,
  credentials: readonly Credentials[],
  { uri, database, collection }: ViewPlace,
  installationCpuMs: () => number,
): Promise<Figure[]> => {
  const { rounds, connections, warmUpMs, roundMs, say } = context;
  const env = { MONGODB_URI: uri, MONGODB_DATABASE: database, VIEW: collection };
  const ownMs = (server: Running): number => (server === gateway ? (server.cpuMs() ?? 0) : 0);
  const bare = await startPrinting(context.bareMongo, [], env);
  try {
    const requests = checkRequests(credentials, gateway.token);
    const load = (running: Running): LoadOptions => ({
      target: running.target,
      requests,
      connections,
      warmUpMs,
      durationMs: roundMs,
      serverCpuMs: running.cpuMs,
      partnersCpuMs: () => installationCpuMs() - ownMs(running),
    });
    const contenders = [
      ['bare', 'bare, same read', bare],
      ['gateway', 'check at the gateway', gateway],
    ] as const;
    say(`services, check: ${credentials.length} secrets in use, ${connections} connections`);
    const results = await takeTurns(
      contenders.map(([name, , running]) => ({ name, status: 200, run: () => saturate(load(running)) })),
      rounds,
      say,
    );
    const figures = throughputFigures(results.get('bare') ?? [], results.get('gateway') ?? []);
    // The same rate for both: latency depends more on the rate than on the server.
    const slowest = Math.min(...contenders.flatMap(([name]) => throughputs(results.get(name))));
    const perSecond = Math.round(LATENCY_LOAD_SHARE * slowest);
    for (const [name, what, running] of contenders) {
      const latency = { name: `services.check.${name}`, what, load: load(running), perSecond };
      figures.push(...(await latencyFigures({ ...latency, rounds: Math.min(rounds, LATENCY_ROUNDS_MAX) })));
    }
    return figures;
  } finally {
    await bare.stop();
  }
};

const throughputFigures = (bare: readonly LoadResult[], gateway: readonly LoadResult[]): Figure[] => {
  const ratios = pairedRatios(gateway, bare);
  const cpuRatios = pairedCpuRatios(bare, gateway);
  return [
    figure('services.check.bare', 'bare Fastify, same read of MongoDB', '/s', throughputs(bare)),
    figure('services.check.gateway', 'check at the gateway, right secret', '/s', throughputs(gateway)),
    figure('services.check.ratio', 'check at the gateway ÷ bare', '', ratios, { goal: GOAL }),
    figure('services.check.bare.cpu', 'bare, same read: processor time', 'µs', cpuTimes(bare)),
    figure('services.check.gateway.cpu', 'check at the gateway: processor time', 'µs', cpuTimes(gateway)),
    figure('services.check.cpuRatio', 'bare ÷ check at the gateway, processor time', '', cpuRatios),
    figure('services.check.others', 'other programs meanwhile', 'cores', othersCores(bare, gateway)),
  ];
};
