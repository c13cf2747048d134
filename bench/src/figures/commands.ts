import { randomUUID } from 'node:crypto';
import { bearer, cpuTimes, figure, othersCores, takeTurns, throughputs, type BenchContext } from '../bench';
import { requestBytes, saturate, type RequestBytes } from '../load';
import type { RekeyServer } from '../processes';
import type { Figure } from '../report';
import { DOMAIN_ID, type Credentials } from '../seed';

export const APPLICATIONS_PATH = `/api/v1/domains/${DOMAIN_ID}/applications`;
const COMMAND_CONNECTIONS = 32;
/** More commands per second than any server handles, so that no request is sent twice. */
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
  /** Prefix of the names of the figures. */
  readonly name?: string;
  /** CPU time of all processes that take part in a command. */
  readonly cpuMs?: () => number | undefined;
}

/** Measures commands over HTTP up to the answer: stored, visible in the views, the value generated and hashed. */
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
    const details = { p99Ms, othersCores: othersCores(of) };
    return [
      figure(`${name}.${command}`, what, '/s', throughputs(of), { details }),
      figure(`${name}.${command}.cpu`, `${what}: processor time`, 'µs', cpuTimes(of)),
    ];
  });
};
