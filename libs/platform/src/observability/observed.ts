import { Notifier, SecretHasher, type Clock, type ExpiryNotice, type ValueOrigin } from '@rekey/ports';
import type { Metrics } from './metrics';

/** Measures the times of a hasher. */
export class ObservedHasher extends SecretHasher {
  constructor(
    private readonly hasher: SecretHasher,
    private readonly metrics: Pick<Metrics, 'hashed'>,
    private readonly clock: Pick<Clock, 'monotonicMs'>,
  ) {
    super();
  }

  random(bytes: number): Uint8Array {
    return this.hasher.random(bytes);
  }

  hash(value: string, origin: ValueOrigin): Promise<string> {
    return this.timed('hash', () => this.hasher.hash(value, origin));
  }

  verify(verifier: string, value: string): Promise<boolean> {
    return this.timed('verify', () => this.hasher.verify(verifier, value));
  }

  importedLookupId(domainId: string, clientId: string, value: string): string {
    return this.hasher.importedLookupId(domainId, clientId, value);
  }

  private async timed<T>(operation: 'hash' | 'verify', work: () => Promise<T>): Promise<T> {
    const startedMs = this.clock.monotonicMs();
    try {
      return await work();
    } finally {
      this.metrics.hashed(operation, this.clock.monotonicMs() - startedMs);
    }
  }
}

/** Counts what a notifier sends. */
export class ObservedNotifier extends Notifier {
  readonly channel: string;

  constructor(
    private readonly notifier: Notifier,
    private readonly metrics: Pick<Metrics, 'noticeSent'>,
  ) {
    super();
    this.channel = notifier.channel;
  }

  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    try {
      const sent = await this.notifier.send(notice);
      this.metrics.noticeSent(this.channel, 'sent');
      return sent;
    } catch (error) {
      this.metrics.noticeSent(this.channel, 'failed');
      throw error;
    }
  }
}
