import { type ExpiryNotice, Notifier } from '@rekey/ports';

/**
 * The inbox of the console. Sends nothing: the inbox is a view of the `ExpiryNoticeSent` events, so recording the notice
 * delivers it.
 */
export class UiNotifier extends Notifier {
  readonly channel = 'ui';

  async send(notice: ExpiryNotice): Promise<{ readonly recipients: number }> {
    return { recipients: notice.contacts.length };
  }
}
