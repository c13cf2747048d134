import { setTimeout as sleep } from 'node:timers/promises';
import { bearer, figure, type BenchContext } from '../bench';
import { Latencies } from '../latencies';
import { Client, requestBytes, type RequestBytes } from '../load';
import type { RekeyServer } from '../processes';
import type { Figure } from '../report';
import { DOMAIN_ID, type Credentials } from '../seed';

/** Commands that are measured. */
const COMMANDS = 400;
/** Commands before, for compilers and caches. */
const WARM_UP = 50;
/** Between two looks at the second gateway. */
const LOOK_EVERY_MS = 2;

/** A renewal that the second gateway does not show yet. */
interface Pending {
  readonly look: RequestBytes;
  /** The version that it shows before. */
  readonly before: number;
  readonly shown: (atMs: number) => void;
}

/**
 * Commands at a steady rate, sent by the clock to one gateway, while a second one is asked, one question after the other,
 * whether it shows what they do. Both times are taken from when a command was due.
 */
export const measureVisible = async (
  { say }: BenchContext,
  gateway: RekeyServer,
  second: RekeyServer,
  credentials: readonly Credentials[],
  perSecond: number,
): Promise<Figure[]> => {
  const answered = new Latencies();
  const seen = new Latencies();
  const looker = new Client(second.target);
  const senders: Client[] = [];
  const idle: Client[] = [];
  const pending = new Set<Pending>();
  const failure = new AbortController();
  let sending = true;

  const pathOf = ({ applicationId, secretId }: Credentials): string =>
    `/api/v1/domains/${DOMAIN_ID}/applications/${applicationId}/secrets/${secretId}`;
  const lookAt = (secret: Credentials): RequestBytes => requestBytes('GET', pathOf(secret), bearer(second.token));
  const versionShown = async (look: RequestBytes): Promise<number> => {
    const { status, body } = await looker.ask(look);
    if (status !== 200) throw new Error(`The second gateway answered ${status}, expected 200: ${body}`);
    return (JSON.parse(body) as { version: number }).version;
  };

  const lookOut = async (): Promise<void> => {
    while ((sending || pending.size > 0) && !failure.signal.aborted) {
      for (const each of pending) {
        if ((await versionShown(each.look)) <= each.before) continue;
        each.shown(performance.now());
        pending.delete(each);
      }
      await sleep(LOOK_EVERY_MS);
    }
  };

  const renew = async (secret: Credentials, before: number, dueMs: number, counts: boolean): Promise<void> => {
    pending.add({ look: lookAt(secret), before, shown: (atMs) => void (counts && seen.add(atMs - dueMs)) });
    let sender = idle.pop();
    if (!sender) senders.push((sender = new Client(gateway.target)));
    const request = requestBytes('POST', `${pathOf(secret)}/renew`, bearer(gateway.token), '{}');
    const { status, body } = await sender.ask(request);
    if (counts) answered.add(performance.now() - dueMs);
    idle.push(sender);
    if (status !== 200) throw new Error(`A renewal was answered ${status}, expected 200: ${body}`);
  };

  say(`services, command to visible: ${COMMANDS} renewals, ${perSecond}/s, two gateways`);
  const fail = (error: unknown): void => failure.abort(error);
  try {
    const renewed = credentials.slice(0, WARM_UP + COMMANDS);
    const before: number[] = [];
    for (const secret of renewed) before.push(await versionShown(lookAt(secret)));
    const looking = lookOut().catch(fail);
    const renewals: Promise<void>[] = [];
    const startMs = performance.now();
    for (const [number, secret] of renewed.entries()) {
      const dueMs = startMs + (number * 1000) / perSecond;
      await sleep(dueMs - performance.now());
      if (failure.signal.aborted) break;
      renewals.push(renew(secret, before[number] ?? 0, dueMs, number >= WARM_UP).catch(fail));
    }
    await Promise.all(renewals);
    sending = false;
    await looking;
    failure.signal.throwIfAborted();
  } finally {
    for (const client of [...senders, looker]) client.close();
  }
  const figures: Figure[] = [];
  for (const percent of [50, 99])
    figures.push(
      figure(
        `services.visible.answered.p${percent}`,
        `command sent → answered as visible: p${percent}, ${perSecond}/s`,
        'ms',
        [answered.percentile(percent)],
      ),
      figure(
        `services.visible.seen.p${percent}`,
        `command sent → shown by a second gateway: p${percent}, ${perSecond}/s`,
        'ms',
        [seen.percentile(percent)],
      ),
    );
  return figures;
};
