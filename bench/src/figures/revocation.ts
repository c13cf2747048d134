import { randomUUID } from 'node:crypto';
import { bearer, checkRequests, figure } from '../bench';
import { Latencies } from '../latencies';
import { Client, atRate, requestBytes, type RequestBytes } from '../load';
import type { RekeyServer } from '../processes';
import type { Figure, Goal } from '../report';
import type { Credentials } from '../seed';
import { APPLICATIONS_PATH } from './commands';

export interface RevocationOptions {
  readonly revocations: number;
  /** Credentials that other clients check during the measurement. */
  readonly background: readonly Credentials[];
  readonly backgroundPerSecond: number;
  /** Prefix of the names of the figures. */
  readonly name?: string;
  /** The server that checks. Default: the one that revokes. */
  readonly checkedAt?: RekeyServer;
  /** Goal of the 99th percentiles. */
  readonly goal?: Goal;
}

interface Registered {
  readonly id: string;
  readonly firstSecret: { readonly id: string; readonly secret: string };
}

/**
 * Revokes secrets one after the other while checking each continuously. Measures the time from sending the revocation to
 * its acknowledgement and to the first refused check, and counts checks sent after the acknowledgement but accepted.
 */
export const measureRevocation = async (rekey: RekeyServer, options: RevocationOptions): Promise<Figure[]> => {
  const { revocations, background, backgroundPerSecond, checkedAt = rekey } = options;
  const probe = new RevocationProbe(rekey, checkedAt);
  const backgroundEnd = new AbortController();
  const load = atRate({
    target: checkedAt.target,
    requests: checkRequests(background, checkedAt.token),
    connections: 8,
    warmUpMs: 0,
    durationMs: 3_600_000,
    perSecond: backgroundPerSecond,
    signal: backgroundEnd.signal,
  });
  try {
    for (let number = 0; number < revocations; number++) await probe.revokeOne();
  } finally {
    backgroundEnd.abort();
    await load;
    probe.close();
  }
  return figuresOf(probe, options);
};

/** Registers, checks and revokes secrets, and records the times. */
class RevocationProbe {
  readonly acknowledgements = new Latencies();
  readonly refusals = new Latencies();
  acceptedAfterwards = 0;
  private readonly admin: Client;
  private readonly checker: Client;

  constructor(
    private readonly rekey: RekeyServer,
    private readonly checkedAt: RekeyServer,
  ) {
    this.admin = new Client(rekey.target);
    this.checker = new Client(checkedAt.target);
  }

  async revokeOne(): Promise<void> {
    const { check, revoke } = await this.register();
    await ask(this.checker, check, 200);
    const sentMs = performance.now();
    let acknowledged = false;
    const receipt = ask(this.admin, revoke, 200).then(() => {
      this.acknowledgements.add(performance.now() - sentMs);
      acknowledged = true;
    });
    for (;;) {
      const sentAfterwards = acknowledged;
      const { status } = await this.checker.ask(check);
      if (status === 401) break;
      if (sentAfterwards) this.acceptedAfterwards += 1;
    }
    this.refusals.add(performance.now() - sentMs);
    await receipt;
    await ask(this.checker, check, 401);
  }

  close(): void {
    this.admin.close();
    this.checker.close();
  }

  /** Registers an application with a secret. Returns the requests that check and revoke the secret. */
  private async register(): Promise<{ check: RequestBytes; revoke: RequestBytes }> {
    const headers = bearer(this.rekey.token);
    const clientId = `revoked-${randomUUID()}`;
    const body = JSON.stringify({ clientId, name: 'To be revoked', firstSecret: {} });
    const answer = await ask(this.admin, requestBytes('POST', APPLICATIONS_PATH, headers, body), 201);
    const { id, firstSecret } = JSON.parse(answer) as Registered;
    const credentials = { clientId, clientSecret: firstSecret.secret, applicationId: id, secretId: firstSecret.id };
    const [check] = checkRequests([credentials], this.checkedAt.token) as [RequestBytes];
    const path = `${APPLICATIONS_PATH}/${id}/secrets/${firstSecret.id}/revoke`;
    return { check, revoke: requestBytes('POST', path, headers, JSON.stringify({ force: true })) };
  }
}

const ask = async (client: Client, request: RequestBytes, status: number): Promise<string> => {
  const answer = await client.ask(request);
  if (answer.status !== status) throw new Error(`Got status ${answer.status}, expected ${status}: ${answer.body}`);
  return answer.body;
};

const figuresOf = (
  { refusals, acknowledgements, acceptedAfterwards }: RevocationProbe,
  { name = 'revoke', revocations, backgroundPerSecond, goal }: RevocationOptions,
): Figure[] => {
  const under = `under ${backgroundPerSecond} checks/s`;
  const p99 = { ...(goal && { goal }), details: { revocations } };
  const percentiles = (path: string, what: string, times: Latencies): Figure[] => [
    figure(`${name}${path}.p50`, `revoke sent → ${what}: p50, ${under}`, 'ms', [times.percentile(50)]),
    figure(`${name}${path}.p99`, `revoke sent → ${what}: p99, ${under}`, 'ms', [times.percentile(99)], p99),
  ];
  const accepted = `accepted after the acknowledgement (${revocations} revocations)`;
  return [
    ...percentiles('', 'first refusal', refusals),
    ...percentiles('.acknowledged', 'acknowledged', acknowledgements),
    figure(`${name}.admitted`, accepted, '', [acceptedAfterwards], { goal: { atMost: 0 } }),
  ];
};
