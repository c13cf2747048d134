import { type ExpiryNotice, Notifier } from '@rekey/ports';

/**
 * The inbox of the console. There is nothing to hand over: the inbox is a view made of the `ExpiryNoticeSent` events,
 * so the record of this notice is its delivery.
 */
export class UiNotifier extends Notifier {
  readonly channel = 'ui';

  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    return { recipients: notice.contacts.length };
  }
}
