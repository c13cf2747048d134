import type { DomainCredentials, ScheduledSecret } from '@rekey/contracts';
import { dueJobs, Ticks, type NoticeRules, type ExpiryFacts } from '@rekey/expiry';
import type { ReadModels, ViewDocument } from '@rekey/ports';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HistoryReader } from '../support/history.testing';

const EVERY_SECOND = '* * * * * *';
const ALL = 1_000_000;
const POLL_MS = 500;

const RULES: NoticeRules = {
  thresholds: [20, 15, 10, 5, 1],
  channels: ['ui', 'log', 'webhook'],
  ticks: new Ticks(EVERY_SECOND, 'UTC'),
};

/** Version of a secret and threshold, which identify a notice. */
type NoticeKey = string;
const keyOf = (notice: Readonly<Record<string, unknown>>): NoticeKey =>
  [notice['applicationId'], notice['secretId'], notice['version'], notice['threshold']].join(' ');

/** Receives the notices of the channel `webhook` and deduplicates them by message id. */
export class NoticeReceiver {
  readonly problems: string[] = [];
  /** Message ids by notice. */
  private readonly received = new Map<NoticeKey, string>();
  /** Number of repeated notices. */
  repeated = 0;

  private constructor(
    private readonly server: Server,
    secret: Buffer,
    private readonly secretFile: string,
  ) {
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { 'idempotency-key': id, 'rekey-timestamp': at, 'rekey-signature': signature } = request.headers;
        const body = Buffer.concat(chunks).toString();
        const right = createHmac('sha256', secret)
          .update(`${String(at)}.${body}`)
          .digest('hex');
        if (signature !== right) this.problems.push('a notice had a wrong signature');
        this.take(String(id), JSON.parse(body) as Record<string, unknown>);
        response.writeHead(204).end();
      });
    });
  }

  /** Listens on a free port. Writes the signing secret to a file in `folder`. */
  static async open(folder: string): Promise<NoticeReceiver> {
    const secret = Buffer.from(randomBytes(24).toString('hex'));
    const secretFile = path.join(folder, 'webhook-secret');
    writeFileSync(secretFile, secret, { mode: 0o600 });
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new NoticeReceiver(server, secret, secretFile);
  }

  /** Configures the processes to send notices here. */
  get env(): Readonly<Record<string, string>> {
    const { port } = this.server.address() as AddressInfo;
    return {
      REKEY_NOTIFICATIONS_CRONEXPRESSION: EVERY_SECOND,
      REKEY_NOTIFIERS_WEBHOOK_ENABLED: 'true',
      REKEY_NOTIFIERS_WEBHOOK_URL: `http://127.0.0.1:${port}/notices`,
      REKEY_NOTIFIERS_WEBHOOK_SECRETFILE: this.secretFile,
    };
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  private take(id: string, notice: Readonly<Record<string, unknown>>): void {
    const key = keyOf(notice);
    const known = this.received.get(key);
    if (known === undefined) this.received.set(key, id);
    else if (known === id) this.repeated += 1;
    else this.problems.push(`the notice of ${key} had the message ids ${known} and ${id}`);
  }

  /** Compares the notices with the history: every recorded notice was received, and each is recorded once. */
  judge({ events }: HistoryReader): readonly string[] {
    const found = [...this.problems];
    const recorded = new Set<string>();
    for (const { type, data } of events) {
      if (type !== 'ExpiryNoticeSent' && type !== 'SecretExpired') continue;
      const name = `${type} ${keyOf(data)} ${String(data['channel'])}`;
      if (recorded.has(name)) found.push(`recorded twice: ${name}`);
      recorded.add(name);
      if (type === 'ExpiryNoticeSent' && data['channel'] === 'webhook' && !this.received.has(keyOf(data)))
        found.push(`recorded but never received: ${name}`);
    }
    return found;
  }

  get count(): number {
    return this.received.size;
  }
}

/** Waits until the views show no due notice without a record. Returns those that are left after the timeout. */
export const overdue = async (readModels: ReadModels, withinMs: number): Promise<readonly string[]> => {
  for (const deadline = performance.now() + withinMs; ; await sleep(POLL_MS)) {
    const now = new Date().toISOString();
    const secrets = await watchedSecrets(readModels);
    const due = secrets.flatMap((value) => dueJobs(value, RULES, now, now).map(({ id }) => id));
    if (due.length === 0 || performance.now() > deadline) return due;
  }
};

/** Returns all scheduled secrets, with the state of their domain applied. */
const watchedSecrets = async (readModels: ReadModels): Promise<ExpiryFacts[]> => {
  const all = async <D extends ViewDocument>(view: string): Promise<D[]> => {
    const pointer = await readModels.pointer(view);
    return readModels.find<D>(pointer?.collection ?? '', { limit: ALL });
  };
  const domains = new Map((await all<DomainCredentials>('authentication')).map(({ _id, state }) => [_id, state]));
  return (await all<ScheduledSecret>('expiry-schedule')).map((document) => {
    const state = domains.get(`domain-${document.domainId}`);
    return state === 'active' || document.state !== 'active' ? document : { ...document, state: state ?? 'deleted' };
  });
};
