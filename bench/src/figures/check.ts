import { LOOKUP_BYTES, RANDOM_BYTES, composeSecret, lookupIdFrom } from '@rekey/domain';
import { randomBytes } from 'node:crypto';
import {
  AUTHENTICATE_PATH,
  checkRequests,
  figure,
  pairedCpuRatios,
  pairedRatios,
  takeTurns,
  throughputs,
  type Contender,
  type BenchContext,
} from '../bench';
import { Client, atRate, requestBytes, saturate, type LoadOptions, type RequestBytes } from '../load';
import { startPrinting, type RekeyServer, type Running } from '../processes';
import type { Figure } from '../report';
import type { Credentials } from '../seed';

/** Latency is measured at this share of what the contender can do at most. */
const LATENCY_LOAD_SHARE = 0.5;
const GOAL_NOW = { atLeast: 0.6 };

/** Well-formed values that are none of the client's: no Argon2, but all the rest of the way. */
const wrongCredentials = (credentials: readonly Credentials[]): Credentials[] =>
  credentials.map((right) => ({
    ...right,
    clientSecret: composeSecret(lookupIdFrom(randomBytes(LOOKUP_BYTES)), randomBytes(RANDOM_BYTES)),
  }));

/** The check over HTTP, beside an answer of the same shape that checks nothing, and beside token introspection. */
export const measureCheck = async (
  context: BenchContext,
  rekey: RekeyServer,
  credentials: readonly Credentials[],
): Promise<Figure[]> => {
  const { rounds, say } = context;
  const bare = await startPrinting(context.bare);
  const oidc = context.oidc === undefined ? undefined : await startPrinting(context.oidc, [String(credentials.length)]);
  try {
    const right = checkRequests(credentials, rekey.token);
    const wrong = checkRequests(wrongCredentials(credentials), rekey.token);
    const load = (running: Running, requests: readonly RequestBytes[]): LoadOptions => ({
      target: running.target,
      requests,
      connections: context.connections,
      warmUpMs: context.warmUpMs,
      durationMs: context.roundMs,
      serverCpuMs: running.cpuMs,
    });
    const contender = (
      name: string,
      status: number,
      running: Running,
      requests: readonly RequestBytes[],
    ): Contender => ({
      name,
      status,
      run: () => saturate(load(running, requests)),
    });
    const contenders = [
      contender('bare', 200, bare, right),
      contender('right', 200, rekey, right),
      contender('wrong', 401, rekey, wrong),
    ];
    if (oidc) {
      const introspections = await introspectionRequests(oidc, credentials.length);
      contenders.push(contender('oidc right', 200, oidc, introspections.right));
      contenders.push(contender('oidc wrong', 401, oidc, introspections.wrong));
    }
    say(`check: ${credentials.length} secrets in use, ${context.connections} connections`);
    const results = await takeTurns(contenders, rounds, say);
    const of = (name: string) => results.get(name) ?? [];
    const figures = [
      figure('check.bare', 'bare Fastify, same answer', '/s', throughputs(of('bare'))),
      figure('check.right', 'check, right secret', '/s', throughputs(of('right'))),
      figure('check.wrong', 'check, wrong secret', '/s', throughputs(of('wrong'))),
      figure('check.right.ratio', 'check right ÷ bare', '', pairedRatios(of('right'), of('bare')), { goal: GOAL_NOW }),
      figure('check.wrong.ratio', 'check wrong ÷ bare', '', pairedRatios(of('wrong'), of('bare'))),
    ];
    for (const [name, what] of [
      ['bare', 'bare Fastify'],
      ['right', 'check, right secret'],
      ['wrong', 'check, wrong secret'],
    ] as const)
      figures.push(
        figure(
          `check.${name}.cpu`,
          `${what}: processor time`,
          'µs',
          of(name).map(({ serverCpuUs }) => serverCpuUs),
        ),
      );
    figures.push(
      figure(
        'check.right.cpuRatio',
        'bare ÷ check right, processor time',
        '',
        pairedCpuRatios(of('bare'), of('right')),
      ),
      figure(
        'check.others',
        'other programs meanwhile',
        'cores',
        [...of('bare'), ...of('right')].map(({ othersCores }) => othersCores),
      ),
    );
    if (oidc)
      figures.push(
        figure('check.oidc.right', 'oidc-provider introspection, right secret', '/s', throughputs(of('oidc right'))),
        figure('check.oidc.wrong', 'oidc-provider introspection, wrong secret', '/s', throughputs(of('oidc wrong'))),
        figure('check.oidc.ratio', 'check right ÷ introspection', '', pairedRatios(of('right'), of('oidc right'))),
      );
    for (const [name, running, requests] of [
      ['bare', bare, right],
      ['right', rekey, right],
      ['wrong', rekey, wrong],
    ] as const) {
      const perSecond = Math.round(LATENCY_LOAD_SHARE * Math.min(...throughputs(of(name))));
      const runs = [];
      for (let round = 0; round < rounds; round++) runs.push(await atRate({ ...load(running, requests), perSecond }));
      const goal = name === 'bare' ? {} : { goal: { atMost: 5 } };
      const what = name === 'bare' ? 'bare Fastify' : `check, ${name} secret`;
      for (const percent of [50, 99])
        figures.push(
          figure(
            `check.${name}.p${percent}`,
            `${what}: p${percent} at ${perSecond}/s`,
            'ms',
            runs.map(({ latencies }) => latencies.percentile(percent)),
            percent === 99 ? goal : {},
          ),
        );
    }
    return figures;
  } finally {
    await Promise.all([bare.stop(), oidc?.stop()]);
  }
};

/** Each client asks for one token and then introspects it, with its secret or a wrong one of the same length. */
const introspectionRequests = async (
  oidc: Running,
  clients: number,
): Promise<{ right: RequestBytes[]; wrong: RequestBytes[] }> => {
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const post = (path: string, client: number, mark: string, body: string): RequestBytes => {
    const basic = Buffer.from(`client-${client}:${`secret-${client}`.padEnd(64, mark)}`).toString('base64');
    return requestBytes('POST', path, { ...form, authorization: `Basic ${basic}` }, body);
  };
  const asking = new Client(oidc.target);
  const requests: { right: RequestBytes[]; wrong: RequestBytes[] } = { right: [], wrong: [] };
  try {
    for (let client = 0; client < clients; client++) {
      const { status, body } = await asking.ask(post('/token', client, '-', 'grant_type=client_credentials'));
      if (status !== 200) throw new Error(`oidc-provider gave no token: ${status} ${body}`);
      const introspection = `token=${(JSON.parse(body) as { access_token: string }).access_token}`;
      requests.right.push(post('/token/introspection', client, '-', introspection));
      requests.wrong.push(post('/token/introspection', client, '+', introspection));
    }
  } finally {
    asking.close();
  }
  return requests;
};

/** The same check on a small and on a large store, with as many secrets in use. */
export const measureScale = async (
  context: BenchContext,
  small: { server: RekeyServer; credentials: readonly Credentials[]; secrets: number },
  large: { server: RekeyServer; credentials: readonly Credentials[]; secrets: number },
): Promise<Figure[]> => {
  const inUse = Math.min(small.credentials.length, large.credentials.length);
  const contenders = [small, large].map(({ server, credentials, secrets }) => ({
    name: `${secrets} secrets`,
    status: 200,
    run: () =>
      saturate({
        target: server.target,
        requests: checkRequests(credentials.slice(0, inUse), server.token),
        connections: context.connections,
        warmUpMs: context.warmUpMs,
        durationMs: context.roundMs,
        serverCpuMs: server.cpuMs,
      }),
  }));
  context.say(`scale: ${inUse} secrets in use on each side`);
  const results = await takeTurns(contenders, context.rounds, context.say);
  const [few = [], many = []] = contenders.map(({ name }) => results.get(name));
  const details = { secretsInUse: inUse };
  return [
    figure('scale.small', `check, ${small.secrets} secrets`, '/s', throughputs(few), { details }),
    figure('scale.large', `check, ${large.secrets} secrets`, '/s', throughputs(many), { details }),
    figure('scale.ratio', `${small.secrets} ÷ ${large.secrets} secrets`, '', pairedRatios(few, many), {
      goal: { atMost: 1.2 },
      details,
    }),
    figure(
      'scale.cpuRatio',
      `${large.secrets} ÷ ${small.secrets} secrets, processor time`,
      '',
      pairedCpuRatios(many, few),
      {
        goal: { atMost: 1.2 },
        details,
      },
    ),
    figure('scale.memory', `memory with ${large.secrets} secrets`, 'MiB', [
      (large.server.memoryBytes() ?? NaN) / 2 ** 20,
    ]),
  ];
};

/** The first check of a secret since the server started, which computes Argon2, one after the other. */
export const measureFirstChecks = async (rekey: RekeyServer, fresh: readonly Credentials[]): Promise<Figure[]> => {
  const client = new Client(rekey.target);
  const times: number[] = [];
  try {
    for (const request of checkRequests(fresh, rekey.token)) {
      const startedMs = performance.now();
      const { status } = await client.ask(request);
      times.push(performance.now() - startedMs);
      if (status !== 200) throw new Error(`A right secret was answered ${status} at ${AUTHENTICATE_PATH}.`);
    }
  } finally {
    client.close();
  }
  return [figure('check.first', `first check of a secret (of ${times.length})`, 'ms', times)];
};
