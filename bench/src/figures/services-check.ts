import {
  checkRequests,
  figure,
  pairedCpuRatios,
  pairedRatios,
  takeTurns,
  throughputs,
  type BenchContext,
} from '../bench';
import { atRate, saturate, type LoadOptions } from '../load';
import { startPrinting, type RekeyServer, type Running } from '../processes';
import type { Figure } from '../report';
import type { Credentials } from '../seed';

/** Latency is measured at this share of what the slower one can do at most, in so many rounds. */
const LATENCY_LOAD_SHARE = 0.5;
const LATENCY_ROUNDS_MAX = 3;
const GOAL = { atLeast: 0.8 };

/** Where the view of the check lies. */
export interface ViewPlace {
  readonly uri: string;
  readonly database: string;
  readonly collection: string;
}

/**
 * The check of the gateway, beside a bare server that makes the same read of the same view through the same driver.
 * `installationCpuMs`: processor time of all services and engines.
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
    const both = [
      ['bare', bare],
      ['gateway', gateway],
    ] as const;
    say(`services, check: ${credentials.length} secrets in use, ${connections} connections`);
    const results = await takeTurns(
      both.map(([name, running]) => ({ name, status: 200, run: () => saturate(load(running)) })),
      rounds,
      say,
    );
    const of = (name: string) => results.get(name) ?? [];
    const figures = [
      figure('services.check.bare', 'bare Fastify, same read of MongoDB', '/s', throughputs(of('bare'))),
      figure('services.check.gateway', 'check at the gateway, right secret', '/s', throughputs(of('gateway'))),
      figure('services.check.ratio', 'check at the gateway ÷ bare', '', pairedRatios(of('gateway'), of('bare')), {
        goal: GOAL,
      }),
      figure(
        'services.check.bare.cpu',
        'bare, same read: processor time',
        'µs',
        of('bare').map(({ serverCpuUs }) => serverCpuUs),
      ),
      figure(
        'services.check.gateway.cpu',
        'check at the gateway: processor time',
        'µs',
        of('gateway').map(({ serverCpuUs }) => serverCpuUs),
      ),
      figure(
        'services.check.cpuRatio',
        'bare ÷ check at the gateway, processor time',
        '',
        pairedCpuRatios(of('bare'), of('gateway')),
      ),
      figure(
        'services.check.others',
        'other programs meanwhile',
        'cores',
        [...of('bare'), ...of('gateway')].map(({ othersCores }) => othersCores),
      ),
    ];
    // The same for both, as what waits behind a load depends on it more than on the server.
    const perSecond = Math.round(LATENCY_LOAD_SHARE * Math.min(...both.flatMap(([name]) => throughputs(of(name)))));
    for (const [name, running] of both) {
      const runs = [];
      for (let round = 0; round < Math.min(rounds, LATENCY_ROUNDS_MAX); round++)
        runs.push(await atRate({ ...load(running), perSecond }));
      const what = name === 'bare' ? 'bare, same read' : 'check at the gateway';
      for (const percent of [50, 99]) {
        const times = runs.map(({ latencies }) => latencies.percentile(percent));
        figures.push(
          figure(`services.check.${name}.p${percent}`, `${what}: p${percent} at ${perSecond}/s`, 'ms', times),
        );
      }
    }
    return figures;
  } finally {
    await bare.stop();
  }
};
