import { randomUUID } from 'node:crypto';
import { bearer, checkRequests, figure, takeTurns, throughputs, type Setting } from '../bench';
import { Client, atRate, requestBytes, saturate, type RequestBytes } from '../load';
import { Latencies } from '../latencies';
import type { RekeyServer } from '../processes';
import type { Figure } from '../report';
import { DOMAIN_ID, type Credentials } from '../seed';

const APPLICATIONS_PATH = `/api/v1/domains/${DOMAIN_ID}/applications`;
const COMMAND_CONNECTIONS = 32;
/** More commands a second than will ever be done, so that none is sent twice. */
const COMMANDS_PER_SECOND_MAX = 10_000;

const registration = (token: string): RequestBytes => {
  const clientId = `made-${randomUUID()}`;
  return requestBytes('POST', APPLICATIONS_PATH, bearer(token), JSON.stringify({ clientId, name: 'Made by the bench', firstSecret: {} }));
}; // prettier-ignore

/** Whole commands over HTTP, to the answer: durable on disk, in the views, the value made, hashed, sealed and opened. */
export const measureCommands = async (
  setting: Setting,
  rekey: RekeyServer,
  credentials: readonly Credentials[],
): Promise<Figure[]> => {
  const { rounds, roundMs, warmUpMs, say } = setting;
  const load = { target: rekey.target, connections: COMMAND_CONNECTIONS, warmUpMs, durationMs: roundMs };
  const enough = Math.ceil(((roundMs + warmUpMs) / 1000) * COMMANDS_PER_SECOND_MAX);
  const renewals = credentials.map(({ applicationId, secretId }) =>
    requestBytes('POST', `${APPLICATIONS_PATH}/${applicationId}/secrets/${secretId}/renew`, bearer(rekey.token), '{}'),
  );
  say(`commands: ${COMMAND_CONNECTIONS} connections`);
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
  const p99 = (name: string) => (results.get(name) ?? []).map(({ latencies }) => latencies.percentile(99));
  return [
    figure('commands.register', 'register an application with a first secret', '/s', throughputs(results.get('register')), {
      details: { p99Ms: p99('register') },
    }),
    figure('commands.renew', 'renew a secret', '/s', throughputs(results.get('renew')), {
      details: { p99Ms: p99('renew') },
    }),
  ];
}; // prettier-ignore

interface Registered {
  readonly id: string;
  readonly firstSecret: { readonly id: string; readonly secret: string };
}

/**
 * Revokes secrets one after the other, checks each all the while, and takes the time from sending the revocation to the
 * first refused answer. A check that is sent after the acknowledgement and let in is counted: there must be none.
 */
export const measureRevocation = async (
  rekey: RekeyServer,
  revocations: number,
  background: readonly Credentials[],
  backgroundPerSecond: number,
): Promise<Figure[]> => {
  const admin = new Client(rekey.target);
  const checker = new Client(rekey.target);
  const times = new Latencies();
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
    const [check] = checkRequests([credentials], rekey.token) as [RequestBytes];
    await ask(checker, check, 200);
    const path = `${APPLICATIONS_PATH}/${id}/secrets/${firstSecret.id}/revoke`;
    const revoke = requestBytes('POST', path, bearer(rekey.token), JSON.stringify({ force: true }));
    const sentMs = performance.now();
    let acknowledged = false;
    const receipt = ask(admin, revoke, 200).then(() => (acknowledged = true));
    for (;;) {
      const after = acknowledged;
      const { status } = await checker.ask(check);
      if (status === 401) break;
      if (after) admittedAfterwards += 1;
    }
    times.add(performance.now() - sentMs);
    await receipt;
    await ask(checker, check, 401);
  };
  const durationMs = 3_600_000;
  const requests = checkRequests(background, rekey.token);
  const noise = new AbortController();
  const load = atRate({
    target: rekey.target, requests, connections: 8, warmUpMs: 0, durationMs, perSecond: backgroundPerSecond, signal: noise.signal,
  }); // prettier-ignore
  try {
    for (let number = 0; number < revocations; number++) await one();
  } finally {
    noise.abort();
    await load;
    admin.close();
    checker.close();
  }
  const under = `under ${backgroundPerSecond} checks/s`;
  return [
    figure('revoke.p50', `revoke sent → first refusal: p50, ${under}`, 'ms', [times.percentile(50)]),
    figure('revoke.p99', `revoke sent → first refusal: p99, ${under}`, 'ms', [times.percentile(99)], {
      details: { revocations },
    }),
    figure(
      'revoke.admitted',
      `let in after the acknowledgement (${revocations} revocations)`,
      '',
      [admittedAfterwards],
      {
        goal: { atMost: 0 },
      },
    ),
  ];
};
