import { type CloudEvent, RekeyError, cloudEventOf } from '@rekey/contracts';
import { invalid } from '@rekey/domain';
import { type Clock, EventPublisher, type StoredEvent } from '@rekey/ports';
import { createHash, createHmac } from 'node:crypto';

export interface WebhookPublisherOptions {
  /** `http:` or `https:`; may itself be a secret, so it is in no message. */
  readonly url: string;
  /** Key of the signature, at least 16 bytes. */
  readonly secret: Buffer;
  /** `source` of the events: names this installation. */
  readonly source: string;
  /** Events a request at most; default 100. */
  readonly batchSize?: number;
  /** For one request; default 10 s. */
  readonly timeoutMs?: number;
}

const BATCH_SIZE = 100;
const TIMEOUT_MS = 10_000;
const SECRET_BYTES_MIN = 16;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/**
 * Posts events as batches of CloudEvents 1.0 (JSON batch format), redacted, one request after the other. Headers:
 * `Rekey-Timestamp`, seconds since 1970 UTC; `Rekey-Signature`, HMAC-SHA-256 in hexadecimal over the timestamp, a full
 * stop and the body. At least once: a receiver drops by `id` what it knows.
 */
export class WebhookEventPublisher extends EventPublisher {
  private readonly url: URL;
  private readonly ending = new AbortController();

  /** Throws `invalid_request` with the field where an option is wrong. */
  constructor(
    private readonly options: WebhookPublisherOptions,
    private readonly clock: Clock,
  ) {
    super();
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.password)
      throw invalid('url', 'Must be an http or https URL without a user name or password in it.');
    if (options.secret.length < SECRET_BYTES_MIN)
      throw invalid('secret', `Must hold at least ${SECRET_BYTES_MIN} bytes.`);
    this.url = url;
  }

  /** Throws `unavailable` unless the receiver answers each batch 2xx in time. Redirects are not followed. */
  async publish(events: readonly StoredEvent[]): Promise<void> {
    const size = this.options.batchSize ?? BATCH_SIZE;
    for (let from = 0; from < events.length; from += size) {
      const batch = events.slice(from, from + size).map((event) => cloudEventOf(event, this.options.source, sha256));
      const status = await this.post(batch);
      if (status < 200 || status > 299)
        throw new RekeyError('unavailable', `The receiver of events answered with status ${status}.`);
    }
  }

  /** Breaks off a request in hand: its events are published again after the next start. */
  async close(): Promise<void> {
    this.ending.abort();
  }

  private async post(batch: readonly CloudEvent[]): Promise<number> {
    const body = JSON.stringify(batch);
    const timestamp = String(Math.floor(this.clock.nowMs() / 1_000));
    const timeout = AbortSignal.timeout(this.options.timeoutMs ?? TIMEOUT_MS);
    try {
      const response = await fetch(this.url, {
        method: 'POST',
        redirect: 'manual',
        signal: AbortSignal.any([timeout, this.ending.signal]),
        headers: {
          'content-type': 'application/cloudevents-batch+json; charset=utf-8',
          'rekey-timestamp': timestamp,
          'rekey-signature': createHmac('sha256', this.options.secret).update(`${timestamp}.${body}`).digest('hex'),
        },
        body,
      });
      await response.body?.cancel();
      return response.status;
    } catch (error) {
      // What fetch throws may name the address; only what kind of failure it was goes on.
      throw new RekeyError('unavailable', failure(error));
    }
  }
}

const failure = (error: unknown): string => {
  const { name, cause } = error as { name?: unknown; cause?: { code?: unknown } };
  if (name === 'TimeoutError') return 'The receiver of events did not answer in time.';
  const code = cause?.code;
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code)
    ? `The receiver of events could not be reached (${code}).`
    : 'The receiver of events could not be reached.';
};
