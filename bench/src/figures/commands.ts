import { randomUUID } from 'node:crypto';
import { bearer, checkRequests, figure, takeTurns, throughputs, type BenchContext } from '../bench';
import { Client, atRate, requestBytes, saturate, type RequestBytes } from '../load';
import { Latencies } from '../latencies';
import type { RekeyServer } from '../processes';
import type { Figure, Goal } from '../report';
import { DOMAIN_ID, type Credentials } from '../seed';

const APPLICATIONS_PATH = `/api/v1/domains/${DOMAIN_ID}/applications`;
const COMMAND_CONNECTIONS = 32;
/** More commands a second than will ever be done, so that none is sent twice. */
const COMMANDS_PER_SECOND_MAX = 10_000;

const registration = (token: string): RequestBytes => {
  const clientId = `made-${randomUUID()}`;
  return requestBytes(
    'POST',
    APPLICATIONS_PATH,
    bearer(token),
    JSON.stringify({ clientId, name: 'Made by the bench', firstSecret: {} }),
  );
};

export interface CommandsOptions {
  /** Begins the names of the figures. */
  readonly name?: string;
  /** Processor time of all that has a part in a command. */
  readonly cpuMs?: () => number | undefined;
}

/** Whole commands over HTTP, to the answer: durable on disk, in the views, the value made, hashed, sealed and opened. */
export const measureCommands = async (
  context: BenchContext,
  rekey: RekeyServer,
  credentials: readonly Credentials[],
  { name = 'commands', cpuMs = rekey.cpuMs }: CommandsOptions = {},
): Promise<Figure[]> => {
  const { rounds, roundMs, warmUpMs, say } = context;
  const load = {
    target: rekey.target,
    connections: COMMAND_CONNECTIONS,
    warmUpMs,
    durationMs: roundMs,
    serverCpuMs: cpuMs,
  };
  const enough = Math.ceil(((roundMs + warmUpMs) / 1000) * COMMANDS_PER_SECOND_MAX);
  const renewals = credentials.map(({ applicationId, secretId }) =>
    requestBytes('POST', `${APPLICATIONS_PATH}/${applicationId}/secrets/${secretId}/renew`, bearer(rekey.token), '{}'),
  );
  say(`${name}: ${COMMAND_CONNECTIONS} connections`);
  const results = await takeTurns(
    [
      {
        name: 'register',
        status: 201,
        run: () => saturate({ ...load, requests: Array.from({ length: enough }, () => registration(rekey.token)) }),
      },
      { name: 'renew', status: 200, run: () => saturate({ ...load, requests: renewals }) },
    ],
    rounds,
    say,
  );
  return (['register', 'renew'] as const).flatMap((command) => {
    const of = results.get(command) ?? [];
    const what = command === 'register' ? 'register an application with a first secret' : 'renew a secret';
    const p99Ms = of.map(({ latencies }) => latencies.percentile(99));
    const othersCores = of.map((result) => result.othersCores);
    return [
      figure(`${name}.${command}`, what, '/s', throughputs(of), { details: { p99Ms, othersCores } }),
      figure(
        `${name}.${command}.cpu`,
        `${what}: processor time`,
        'µs',
        of.map(({ serverCpuUs }) => serverCpuUs),
      ),
    ];
  });
};

interface Registered {
  readonly id: string;
  readonly firstSecret: { readonly id: string; readonly secret: string };
}

export interface RevocationOptions {
  readonly revocations: number;
  /** Checked all the while by others. */
  readonly background: readonly Credentials[];
  readonly backgroundPerSecond: number;
  /** Begins the names of the figures. */
  readonly name?: string;
  /** The server that checks, where that is not the one that revokes. */
  readonly checkedAt?: RekeyServer;
  /** Of the 99th percentiles. */
  readonly goal?: Goal;
}

/**
 * Revokes secrets one after the other, checks each all the while, and takes the time from sending the revocation to the
 * acknowledgement, and to the first refused answer. A check that is sent after the acknowledgement and let in is
 * counted: there must be none.
 */
export const measureRevocation = async (
  rekey: RekeyServer,
  { revocations, background, backgroundPerSecond, name = 'revoke', checkedAt = rekey, goal }: RevocationOptions,
): Promise<Figure[]> => {
  const admin = new Client(rekey.target);
  const checker = new Client(checkedAt.target);
  const acknowledgements = new Latencies();
  const refusals = new Latencies();
  let admittedAfterwards = 0;
  const ask = async (client: Client, request: RequestBytes, status: number): Promise<string> => {
    const answer = await client.ask(request);
    if (answer.status !== status) throw new Error(`Answered ${answer.status}, expected ${status}: ${answer.body}`);
    return answer.body;
  };
  const one = async (): Promise<void> => {
    const clientId = `revoked-${randomUUID()}`;
    const body = JSON.stringify({ clientId, name: 'To be revoked', firstSecret: {} });
    const made = await ask(admin, requestBytes('POST', APPLICATIONS_PATH, bearer(rekey.token), body), 201);
    const { id, firstSecret } = JSON.parse(made) as Registered;
    const credentials = { clientId, clientSecret: firstSecret.secret, applicationId: id, secretId: firstSecret.id };
    const [check] = checkRequests([credentials], checkedAt.token) as [RequestBytes];
    await ask(checker, check, 200);
    const path = `${APPLICATIONS_PATH}/${id}/secrets/${firstSecret.id}/revoke`;
    const revoke = requestBytes('POST', path, bearer(rekey.token), JSON.stringify({ force: true }));
    const sentMs = performance.now();
    let acknowledged = false;
    const receipt = ask(admin, revoke, 200).then(() => {
      acknowledgements.add(performance.now() - sentMs);
      acknowledged = true;
    });
    for (;;) {
      const after = acknowledged;
      const { status } = await checker.ask(check);
      if (status === 401) break;
      if (after) admittedAfterwards += 1;
    }
    refusals.add(performance.now() - sentMs);
    await receipt;
    await ask(checker, check, 401);
  };
  const durationMs = 3_600_000;
  const requests = checkRequests(background, checkedAt.token);
  const noise = new AbortController();
  const load = atRate({
    target: checkedAt.target,
    requests,
    connections: 8,
    warmUpMs: 0,
    durationMs,
    perSecond: backgroundPerSecond,
    signal: noise.signal,
  });
  try {
    for (let number = 0; number < revocations; number++) await one();
  } finally {
    noise.abort();
    await load;
    admin.close();
    checker.close();
  }
  const under = `under ${backgroundPerSecond} checks/s`;
  const p99 = { ...(goal && { goal }), details: { revocations } };
  return [
    figure(`${name}.p50`, `revoke sent → first refusal: p50, ${under}`, 'ms', [refusals.percentile(50)]),
    figure(`${name}.p99`, `revoke sent → first refusal: p99, ${under}`, 'ms', [refusals.percentile(99)], p99),
    figure(`${name}.acknowledged.p50`, `revoke sent → acknowledged: p50, ${under}`, 'ms', [
      acknowledgements.percentile(50),
    ]),
    figure(
      `${name}.acknowledged.p99`,
      `revoke sent → acknowledged: p99, ${under}`,
      'ms',
      [acknowledgements.percentile(99)],
      p99,
    ),
    figure(
      `${name}.admitted`,
      `let in after the acknowledgement (${revocations} revocations)`,
      '',
      [admittedAfterwards],
      {
        goal: { atMost: 0 },
      },
    ),
  ];
};
