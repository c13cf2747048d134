import { createHmac } from 'node:crypto';
import { RekeyError } from '@rekey/contracts';
import { invalid } from '@rekey/domain';
import { type Clock, type ExpiryNotice, Notifier } from '@rekey/ports';
import { noticeText } from './notice-text';

export interface WebhookOptions {
  /** `http:` or `https:`. May contain a credential, so no message quotes it. */
  readonly url: string;
  /** Key of the signature, at least 16 bytes. */
  readonly secret: Buffer;
  /** Time limit of the whole request. Default 10,000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;
const SECRET_BYTES_MIN = 16;

/**
 * Posts a notice as JSON with the fields of the notice and a readable `text`. Headers: `Idempotency-Key`, the message id,
 * the same for every attempt; `Rekey-Timestamp`, seconds since 1970 UTC; `Rekey-Signature`, HMAC-SHA-256 in hex over the
 * timestamp, a full stop and the body. Receivers must verify the signature before they parse the body, and refuse old
 * timestamps.
 */
export class WebhookNotifier extends Notifier {
  readonly channel = 'webhook';
  private readonly url: URL;

  /** Throws `invalid_request` with the field if an option is invalid. */
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

  /** Throws `unavailable` unless the receiver answers 2xx in time. Does not follow redirects. */
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
      // The error of fetch may quote the URL: keep only the kind of failure.
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
