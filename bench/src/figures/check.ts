import { LOOKUP_BYTES, RANDOM_BYTES, composeSecret, lookupIdFrom } from '@rekey/domain';
import { randomBytes } from 'node:crypto';
import {
  AUTHENTICATE_PATH,
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
  type Contender,
} from '../bench';
import { Client, requestBytes, saturate, type LoadOptions, type LoadResult, type RequestBytes } from '../load';
import { startPrinting, type RekeyServer, type Running } from '../processes';
import type { Figure } from '../report';
import type { Credentials } from '../seed';

/** Latency is measured at this share of the maximum throughput. */
const LATENCY_LOAD_SHARE = 0.5;
const RATIO_GOAL = { goal: { atLeast: 0.6 } };
const P99_GOAL = { atMost: 5 };

/** Returns well-formed values that belong to no secret of the client, so the check runs without Argon2. */
const wrongCredentials = (credentials: readonly Credentials[]): Credentials[] =>
  credentials.map((right) => ({
    ...right,
    clientSecret: composeSecret(lookupIdFrom(randomBytes(LOOKUP_BYTES)), randomBytes(RANDOM_BYTES)),
  }));

type Name = 'bare' | 'right' | 'wrong';
const WHAT: Readonly<Record<Name, string>> = {
  bare: 'bare Fastify',
  right: 'check, right secret',
  wrong: 'check, wrong secret',
};

/** Measures the check over HTTP, next to a server that returns the same answer unchecked, and to token introspection. */
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
    const loads: readonly (readonly [Name, number, LoadOptions])[] = [
      ['bare', 200, load(bare, right)],
      ['right', 200, load(rekey, right)],
      ['wrong', 401, load(rekey, wrong)],
    ];
    const contenders: Contender[] = loads.map(([name, status, options]) => ({
      name,
      status,
      run: () => saturate(options),
    }));
    if (oidc) {
      const introspections = await introspectionRequests(oidc, credentials.length);
      const add = (name: string, status: number, requests: readonly RequestBytes[]): void =>
        void contenders.push({ name, status, run: () => saturate(load(oidc, requests)) });
      add('oidc right', 200, introspections.right);
      add('oidc wrong', 401, introspections.wrong);
    }
    say(`check: ${credentials.length} secrets in use, ${context.connections} connections`);
    const results = await takeTurns(contenders, rounds, say);
    const figures = throughputFigures(results);
    for (const [name, , options] of loads) {
      const perSecond = Math.round(LATENCY_LOAD_SHARE * Math.min(...throughputs(results.get(name))));
      const p99Goal = name === 'bare' ? undefined : P99_GOAL;
      const latency = { name: `check.${name}`, what: WHAT[name], load: options, perSecond, rounds, p99Goal };
      figures.push(...(await latencyFigures(latency)));
    }
    return figures;
  } finally {
    await Promise.all([bare.stop(), oidc?.stop()]);
  }
};

const throughputFigures = (results: ReadonlyMap<string, readonly LoadResult[]>): Figure[] => {
  const of = (name: string): readonly LoadResult[] => results.get(name) ?? [];
  const [bare, right, wrong] = [of('bare'), of('right'), of('wrong')];
  const oidcRight = of('oidc right');
  const cpu = (name: Name): Figure =>
    figure(`check.${name}.cpu`, `${WHAT[name]}: processor time`, 'µs', cpuTimes(of(name)));
  const cpuRatios = pairedCpuRatios(bare, right);
  return [
    figure('check.bare', 'bare Fastify, same answer', '/s', throughputs(bare)),
    figure('check.right', WHAT.right, '/s', throughputs(right)),
    figure('check.wrong', WHAT.wrong, '/s', throughputs(wrong)),
    figure('check.right.ratio', 'check right ÷ bare', '', pairedRatios(right, bare), RATIO_GOAL),
    figure('check.wrong.ratio', 'check wrong ÷ bare', '', pairedRatios(wrong, bare)),
    cpu('bare'),
    cpu('right'),
    cpu('wrong'),
    figure('check.right.cpuRatio', 'bare ÷ check right, processor time', '', cpuRatios),
    figure('check.others', 'other programs meanwhile', 'cores', othersCores(bare, right)),
    ...(oidcRight.length === 0
      ? []
      : [
          figure('check.oidc.right', 'oidc-provider introspection, right secret', '/s', throughputs(oidcRight)),
          figure('check.oidc.wrong', 'oidc-provider introspection, wrong secret', '/s', throughputs(of('oidc wrong'))),
          figure('check.oidc.ratio', 'check right ÷ introspection', '', pairedRatios(right, oidcRight)),
        ]),
  ];
};

/** Gets a token for each client. Returns its introspection requests, with the right secret and with a wrong one. */
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
      if (status !== 200) throw new Error(`oidc-provider did not issue a token: ${status} ${body}`);
      const introspection = `token=${(JSON.parse(body) as { access_token: string }).access_token}`;
      requests.right.push(post('/token/introspection', client, '-', introspection));
      requests.wrong.push(post('/token/introspection', client, '+', introspection));
    }
  } finally {
    asking.close();
  }
  return requests;
};

/** Measures the check on a small and on a large store, with the same number of secrets in use. */
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

/** Measures first checks, one after the other. The first check of a secret after the start computes Argon2. */
export const measureFirstChecks = async (rekey: RekeyServer, fresh: readonly Credentials[]): Promise<Figure[]> => {
  const client = new Client(rekey.target);
  const times: number[] = [];
  try {
    for (const request of checkRequests(fresh, rekey.token)) {
      const startedMs = performance.now();
      const { status } = await client.ask(request);
      times.push(performance.now() - startedMs);
      if (status !== 200) throw new Error(`${AUTHENTICATE_PATH} answered ${status} to a right secret.`);
    }
  } finally {
    client.close();
  }
  return [figure('check.first', `first check of a secret (of ${times.length})`, 'ms', times)];
};
