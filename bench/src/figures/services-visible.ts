import { setTimeout as sleep } from 'node:timers/promises';
import { bearer, figure, type Setting } from '../bench';
import { Latencies } from '../latencies';
import { Client, requestBytes, type RequestBytes } from '../load';
import type { RekeyServer } from '../processes';
import type { Figure } from '../report';
import { DOMAIN_ID, type Credentials } from '../seed';

/** Commands that are measured, and how many of them are sent a second. */
const COMMANDS = 600;
const COMMANDS_PER_SECOND = 30;
/** Commands before, for compilers and caches. */
const WARM_UP = 60;
/** Between two looks at the other gateway. */
const LOOK_EVERY_MS = 2;
const SEEN_WITHIN_MS = 30_000;

/** Connections of one server, lent to one asker at a time. */
class Clients {
  private readonly idle: Client[] = [];
  private readonly all: Client[] = [];

  constructor(private readonly server: RekeyServer) {}

  /** Status and body of the answer, and when it was there. */
  async ask(request: RequestBytes): Promise<{ status: number; body: string; atMs: number }> {
    let client = this.idle.pop();
    if (!client) this.all.push((client = new Client(this.server.target)));
    const answer = await client.ask(request);
    const atMs = performance.now();
    this.idle.push(client);
    return { ...answer, atMs };
  }

  close(): void {
    for (const client of this.all) client.close();
  }
}

/**
 * Commands at a steady rate, sent by the clock to one gateway, while another is asked all the time whether it shows what
 * they do. Both times are taken from when a command was due.
 */
export const measureVisible = async (
  setting: Setting,
  gateway: RekeyServer,
  other: RekeyServer,
  credentials: readonly Credentials[],
): Promise<Figure[]> => {
  const answered = new Latencies();
  const seen = new Latencies();
  const senders = new Clients(gateway);
  const lookers = new Clients(other);
  const versions = new Map<string, number>();

  const renew = async ({ applicationId, secretId }: Credentials, dueMs: number, counts: boolean): Promise<void> => {
    const path = `/api/v1/domains/${DOMAIN_ID}/applications/${applicationId}/secrets/${secretId}`;
    const look = requestBytes('GET', path, bearer(other.token));
    const before = versions.get(secretId) ?? 0;
    const acknowledged = senders
      .ask(requestBytes('POST', `${path}/renew`, bearer(gateway.token), '{}'))
      .then(({ status, body, atMs }) => {
        if (status !== 200) throw new Error(`A renewal was answered ${status}, expected 200: ${body}`);
        if (counts) answered.add(atMs - dueMs);
        return (JSON.parse(body) as { version: number }).version;
      });
    const shown = async (): Promise<void> => {
      while (performance.now() - dueMs < SEEN_WITHIN_MS) {
        const { status, body, atMs } = await lookers.ask(look);
        if (status !== 200) throw new Error(`The other gateway answered ${status}, expected 200: ${body}`);
        if ((JSON.parse(body) as { version: number }).version > before) return void (counts && seen.add(atMs - dueMs));
        await sleep(LOOK_EVERY_MS);
      }
      throw new Error('The other gateway did not show a renewal in time.');
    };
    const [version] = await Promise.all([acknowledged, shown()]);
    versions.set(secretId, version);
  };

  setting.say(`services, command to visible: ${COMMANDS} renewals, ${COMMANDS_PER_SECOND}/s, two gateways`);
  try {
    for (const { applicationId, secretId } of credentials) {
      const path = `/api/v1/domains/${DOMAIN_ID}/applications/${applicationId}/secrets/${secretId}`;
      const { body } = await lookers.ask(requestBytes('GET', path, bearer(other.token)));
      versions.set(secretId, (JSON.parse(body) as { version: number }).version);
    }
    const startMs = performance.now();
    const renewals: Promise<void>[] = [];
    for (let number = 0; number < WARM_UP + COMMANDS; number++) {
      const dueMs = startMs + (number * 1000) / COMMANDS_PER_SECOND;
      await sleep(Math.max(0, dueMs - performance.now()));
      const renewal = renew(credentials[number % credentials.length] as Credentials, dueMs, number >= WARM_UP);
      // Told at the end, by all of them together.
      renewal.catch(() => undefined);
      renewals.push(renewal);
    }
    await Promise.all(renewals);
  } finally {
    senders.close();
    lookers.close();
  }
  const at = `at ${COMMANDS_PER_SECOND}/s`;
  return [50, 99].flatMap((percent) => [
    figure(`services.visible.answered.p${percent}`, `command sent → answered as visible: p${percent}, ${at}`, 'ms', [answered.percentile(percent)]),
    figure(`services.visible.seen.p${percent}`, `command sent → shown by a second gateway: p${percent}, ${at}`, 'ms', [seen.percentile(percent)]),
  ]);
}; // prettier-ignore
