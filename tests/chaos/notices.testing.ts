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

/** What a notice is about: a secret's value, a threshold. */
type About = string;
const aboutOf = (notice: Readonly<Record<string, unknown>>): About =>
  [notice['applicationId'], notice['secretId'], notice['version'], notice['threshold']].join(' ');

/** Takes the notices of the channel `webhook`, as a receiver should: by their message ids. */
export class NoticeReceiver {
  readonly problems: string[] = [];
  /** Message ids by what they are about. */
  private readonly received = new Map<About, string>();
  /** How many came that had come before. */
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
        if (signature !== right) this.problems.push('a notice came with a wrong signature');
        this.take(String(id), JSON.parse(body) as Record<string, unknown>);
        response.writeHead(204).end();
      });
    });
  }

  /** Listens on a free port; keeps its secret in a folder. */
  static async open(folder: string): Promise<NoticeReceiver> {
    const secret = Buffer.from(randomBytes(24).toString('hex'));
    const secretFile = path.join(folder, 'webhook-secret');
    writeFileSync(secretFile, secret, { mode: 0o600 });
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new NoticeReceiver(server, secret, secretFile);
  }

  /** What tells the processes of it. */
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
    const about = aboutOf(notice);
    const known = this.received.get(about);
    if (known === undefined) this.received.set(about, id);
    else if (known === id) this.repeated += 1;
    else this.problems.push(`the notice of ${about} came as ${known} and as ${id}`);
  }

  /** Holds what came against the history: all that is on record came, and each is on record once. */
  judge({ events }: HistoryReader): readonly string[] {
    const found = [...this.problems];
    const recorded = new Set<string>();
    for (const { type, data } of events) {
      if (type !== 'ExpiryNoticeSent' && type !== 'SecretExpired') continue;
      const name = `${type} ${aboutOf(data)} ${String(data['channel'])}`;
      if (recorded.has(name)) found.push(`on record twice: ${name}`);
      recorded.add(name);
      if (type === 'ExpiryNoticeSent' && data['channel'] === 'webhook' && !this.received.has(aboutOf(data)))
        found.push(`on record, and never received: ${name}`);
    }
    return found;
  }

  get count(): number {
    return this.received.size;
  }
}

/** What is due now and not on record, by the views; empty as soon as all that was due is done, at the latest in time. */
export const overdue = async (readModels: ReadModels, withinMs: number): Promise<readonly string[]> => {
  for (const deadline = performance.now() + withinMs; ; await sleep(POLL_MS)) {
    const now = new Date().toISOString();
    const secrets = await standingSecrets(readModels);
    const due = secrets.flatMap((value) => dueJobs(value, RULES, now, now).map(({ id }) => id));
    if (due.length === 0 || performance.now() > deadline) return due;
  }
};

/** All secrets, each in view of its domain. */
const standingSecrets = async (readModels: ReadModels): Promise<ExpiryFacts[]> => {
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
