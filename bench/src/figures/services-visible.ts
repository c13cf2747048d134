import { setTimeout as sleep } from 'node:timers/promises';
import { bearer, figure, type BenchContext } from '../bench';
import { Latencies } from '../latencies';
import { Client, requestBytes, type RequestBytes } from '../load';
import type { RekeyServer } from '../processes';
import type { Figure } from '../report';
import { DOMAIN_ID, type Credentials } from '../seed';

/** Measured commands. */
const COMMANDS = 400;
/** Unmeasured commands before them: compilers and caches. */
const WARM_UP = 50;
/** Pause between two polls of the second gateway. */
const POLL_MS = 2;

/** A renewal that the second gateway does not show yet. */
interface Pending {
  readonly read: RequestBytes;
  /** The version before the renewal. */
  readonly before: number;
  readonly shown: (atMs: number) => void;
}

/**
 * Sends commands at a steady rate to one gateway and polls a second one until it shows their results. Both times count
 * from when a command was due.
 */
export const measureVisible = async (
  { say }: BenchContext,
  gateway: RekeyServer,
  second: RekeyServer,
  credentials: readonly Credentials[],
  perSecond: number,
): Promise<Figure[]> => {
  say(`services, command to visible: ${COMMANDS} renewals, ${perSecond}/s, two gateways`);
  const probe = new VisibilityProbe(gateway, second);
  await probe.run(credentials.slice(0, WARM_UP + COMMANDS), perSecond);
  const { answered, seen } = probe;
  return [50, 99].flatMap((percent) => {
    const at = `p${percent}, ${perSecond}/s`;
    return [
      figure(`services.visible.answered.p${percent}`, `command sent → answered as visible: ${at}`, 'ms', [
        answered.percentile(percent),
      ]),
      figure(`services.visible.seen.p${percent}`, `command sent → shown by a second gateway: ${at}`, 'ms', [
        seen.percentile(percent),
      ]),
    ];
  });
};

/** Renews secrets at one gateway and polls the other for the new versions. */
class VisibilityProbe {
  readonly answered = new Latencies();
  readonly seen = new Latencies();
  private readonly reader: Client;
  private readonly senders: Client[] = [];
  private readonly idle: Client[] = [];
  private readonly pending = new Set<Pending>();
  private readonly failure = new AbortController();
  private sending = true;

  constructor(
    private readonly gateway: RekeyServer,
    private readonly second: RekeyServer,
  ) {
    this.reader = new Client(second.target);
  }

  async run(secrets: readonly Credentials[], perSecond: number): Promise<void> {
    const fail = (error: unknown): void => this.failure.abort(error);
    try {
      const before: number[] = [];
      for (const secret of secrets) before.push(await this.versionShown(this.readOf(secret)));
      const polling = this.poll().catch(fail);
      const renewals: Promise<void>[] = [];
      const startMs = performance.now();
      for (const [number, secret] of secrets.entries()) {
        const dueMs = startMs + (number * 1000) / perSecond;
        await sleep(dueMs - performance.now());
        if (this.failure.signal.aborted) break;
        renewals.push(this.renew(secret, before[number] ?? 0, dueMs, number >= WARM_UP).catch(fail));
      }
      await Promise.all(renewals);
      this.sending = false;
      await polling;
      this.failure.signal.throwIfAborted();
    } finally {
      for (const client of [...this.senders, this.reader]) client.close();
    }
  }

  private readOf(secret: Credentials): RequestBytes {
    return requestBytes('GET', pathOf(secret), bearer(this.second.token));
  }

  private async versionShown(read: RequestBytes): Promise<number> {
    const { status, body } = await this.reader.ask(read);
    if (status !== 200) throw new Error(`The second gateway answered ${status}, expected 200: ${body}`);
    return (JSON.parse(body) as { version: number }).version;
  }

  private async poll(): Promise<void> {
    while ((this.sending || this.pending.size > 0) && !this.failure.signal.aborted) {
      for (const each of this.pending) {
        if ((await this.versionShown(each.read)) <= each.before) continue;
        each.shown(performance.now());
        this.pending.delete(each);
      }
      await sleep(POLL_MS);
    }
  }

  private async renew(secret: Credentials, before: number, dueMs: number, counts: boolean): Promise<void> {
    const shown = (atMs: number): void => void (counts && this.seen.add(atMs - dueMs));
    this.pending.add({ read: this.readOf(secret), before, shown });
    let sender = this.idle.pop();
    if (!sender) this.senders.push((sender = new Client(this.gateway.target)));
    const request = requestBytes('POST', `${pathOf(secret)}/renew`, bearer(this.gateway.token), '{}');
    const { status, body } = await sender.ask(request);
    if (counts) this.answered.add(performance.now() - dueMs);
    this.idle.push(sender);
    if (status !== 200) throw new Error(`A renewal was answered ${status}, expected 200: ${body}`);
  }
}

const pathOf = ({ applicationId, secretId }: Credentials): string =>
  `/api/v1/domains/${DOMAIN_ID}/applications/${applicationId}/secrets/${secretId}`;
