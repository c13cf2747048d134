import type { Instant } from '@rekey/domain';

/** What is told of a secret that expires or has expired. Never holds a value. */
export interface ExpiryNotice {
  /** Deterministic, so that a receiver can drop the rare duplicate. */
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

/** One way to tell people. */
export abstract class Notifier {
  /** Name of the channel: `log`, `ui`, `webhook` … */
  abstract readonly channel: string;

  /** Resolves with the number of recipients when the notice is handed over; throws with a public cause where not. */
  abstract send(notice: ExpiryNotice): Promise<{ readonly recipients: number }>;
}
