import { type Clock, type ExpiryNotice, Notifier } from '@rekey/ports';
import type { Logger } from 'pino';
import { noticeText } from './notice-text';

/** Tells whoever reads the log. */
export class LogNotifier extends Notifier {
  readonly channel = 'log';

  constructor(
    private readonly log: Pick<Logger, 'warn'>,
    private readonly clock: Clock,
  ) {
    super();
  }

  /** One line at level `warn`; it names no contact. The log itself is the one recipient. */
  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    const { contacts: _contacts, ...facts } = notice;
    this.log.warn({ notice: facts }, noticeText(notice, this.clock.nowMs()).subject);
    return { recipients: 1 };
  }
}
