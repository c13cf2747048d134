import { type Clock, type ExpiryNotice, Notifier } from '@rekey/ports';
import type { Logger } from 'pino';
import { noticeText } from './notice-text';

/** Writes notices to the log. */
export class LogNotifier extends Notifier {
  readonly channel = 'log';

  constructor(
    private readonly log: Pick<Logger, 'warn'>,
    private readonly clock: Clock,
  ) {
    super();
  }

  /** Logs one line at level `warn`, without the contacts. The log counts as one recipient. */
  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    const { contacts: _contacts, ...facts } = notice;
    this.log.warn({ notice: facts }, noticeText(notice, this.clock.nowMs()).subject);
    return { recipients: 1 };
  }
}
