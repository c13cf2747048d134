import type { Instant } from '@rekey/domain';
import { Notifier, type ExpiryNotice, type ManualClock } from '@rekey/ports';

/** A channel that keeps the notices it sends. */
export class MemoryNotifier extends Notifier {
  readonly sent: (ExpiryNotice & { at: Instant })[] = [];
  /** Error text of every send while it is set. */
  broken: string | undefined;
  /** Called with each notice before `send` resolves. */
  onSend: (notice: ExpiryNotice) => void = () => undefined;

  constructor(
    readonly channel: string,
    private readonly clock: ManualClock,
  ) {
    super();
  }

  async send(notice: ExpiryNotice): Promise<{ recipients: number }> {
    if (this.broken !== undefined) throw new Error(this.broken);
    this.sent.push({ ...notice, at: this.clock.now() });
    this.onSend(notice);
    return { recipients: notice.contacts.length };
  }
}
