import { createHmac } from 'node:crypto';
import { RekeyError } from '@rekey/contracts';
import { invalid } from '@rekey/domain';
import { type Clock, type ExpiryNotice, Notifier } from '@rekey/ports';
import { noticeText } from './notice-text';

export interface WebhookOptions {
  /** `http:` or `https:`; may itself be a secret, so it is in no message. */
  readonly url: string;
  /** Key of the signature, at least 16 bytes. */
  readonly secret: Buffer;
  /** For the whole exchange; default 10 s. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const SECRET_BYTES_MIN = 16;

/**
 * Posts a notice as JSON: the notice's own fields, and `text` for people. Headers: `Idempotency-Key`, the message id,
 * the same at every try; `Rekey-Timestamp`, seconds since 1970 UTC; `Rekey-Signature`, HMAC-SHA-256 in hexadecimal
 * over the timestamp, a full stop and the body, which a receiver compares before it reads the body, refusing
 * timestamps that are too old.
 */
export class WebhookNotifier extends Notifier {
  readonly channel = 'webhook';
  private readonly url: URL;

  /** Throws `invalid_request` with the field where an option is wrong. */
  constructor(
    private readonly options: WebhookOptions,
    private readonly clock: Clock,
  ) {
    super();
    const url = URL.canParse(options.url) ? new URL(options.url) : undefined;
    if (!url || !['http:', 'https:'].includes(url.protocol) || url.username || url.password)
      throw invalid('notifiers.webhook.url', 'Must be an http or https URL without a user name or password in it.');
    if (options.secret.length < SECRET_BYTES_MIN)
      throw invalid('notifiers.webhook.secretFile', `Must hold at least ${SECRET_BYTES_MIN} bytes.`);
    this.url = url;
  }

  /** Throws `unavailable` unless the receiver answers 2xx in time. Redirects are not followed. */
  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    const status = await this.post(notice);
    if (status < 200 || status > 299)
      throw new RekeyError('unavailable', `The webhook answered with status ${status}.`, { channel: this.channel });
    return { recipients: 1 };
  }

  private async post(notice: ExpiryNotice): Promise<number> {
    const body = JSON.stringify({ ...notice, text: noticeText(notice, this.clock.nowMs()) });
    const timestamp = String(Math.floor(this.clock.nowMs() / 1_000));
    const timeoutMs = this.options.timeoutMs ?? TIMEOUT_MS;
    try {
      const response = await fetch(this.url, {
        method: 'POST',
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          'content-type': 'application/json',
          'idempotency-key': notice.messageId,
          'rekey-timestamp': timestamp,
          'rekey-signature': createHmac('sha256', this.options.secret).update(`${timestamp}.${body}`).digest('hex'),
        },
        body,
      });
      await response.body?.cancel();
      return response.status;
    } catch (error) {
      // What fetch throws may name the address; only what kind of failure it was goes on.
      throw new RekeyError('unavailable', failure(error, timeoutMs), { channel: this.channel });
    }
  }
}

const failure = (error: unknown, timeoutMs: number): string => {
  const { name, cause } = error as { name?: unknown; cause?: { code?: unknown } };
  if (name === 'TimeoutError') return `The webhook did not answer within ${timeoutMs} ms.`;
  const code = cause?.code;
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code)
    ? `The webhook could not be reached (${code}).`
    : 'The webhook could not be reached.';
};
