import type { Instant } from '@rekey/domain';

/** The content of an expiry notice. Never contains a value. */
export interface ExpiryNotice {
  /** Deterministic, so that receivers can drop duplicates. */
  readonly messageId: string;
  readonly domainId: string;
  readonly domainName: string;
  readonly applicationId: string;
  readonly applicationName: string;
  readonly clientId: string;
  readonly secretId: string;
  readonly version: number;
  readonly description: string;
  readonly expiresAt: Instant;
  /** End of the overlap: the previous version authenticates until then. Missing: no overlap. */
  readonly previousValidUntil?: Instant;
  /** Days before the expiry that this notice stands for; 0: it has expired. */
  readonly threshold: number;
  /** Contacts of the application and its domain. */
  readonly contacts: readonly string[];
}

/** A channel of notices. */
export abstract class Notifier {
  /** Name of the channel: `log`, `ui`, `webhook` … */
  abstract readonly channel: string;

  /** Sends a notice, and returns the number of recipients. Throws an error whose message may be published. */
  abstract send(notice: ExpiryNotice): Promise<{ readonly recipients: number }>;
}
