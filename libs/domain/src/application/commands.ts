import type { ApplicationPolicy, Duration, Instant } from '../expiry-policy';
import type { SecurityDomainState } from '../security-domain';
import type { NoticeKey, RevocationReason, Verifier } from './events';

type SecretId = { secretId: string };

/** The expiry that a caller asks for: a lifetime, an instant, or `expiresAt: null` for never. */
export type ExpiryInput = { expiresIn?: Duration | undefined; expiresAt?: Instant | null | undefined };

/** The commands of an application, its secrets and their expiry notices. */
export type ApplicationCommand =
  | C<
      'RegisterApplication',
      {
        clientId: string;
        name: string;
        contacts?: readonly string[] | undefined;
        firstSecret?: { secretId: string; description: string } | undefined;
      }
    >
  | C<
      'UpdateApplication',
      { name?: string | undefined; contacts?: readonly string[] | undefined; enabled?: boolean | undefined }
    >
  | C<'ChangeApplicationPolicy', { policy: ApplicationPolicy }>
  | C<'DeleteApplication', object>
  | SecretCommand
  | NoticeCommand;

export type SecretCommand =
  | C<
      'AddSecret',
      SecretId & {
        description: string;
        notBefore?: Instant | undefined;
        allowedCidrs?: readonly string[] | undefined;
      } & ExpiryInput
    >
  | C<'RenewSecret', SecretId & { overlap?: Duration | undefined; version?: number | undefined } & ExpiryInput>
  | C<'EndOverlap', SecretId>
  | C<'RevokeSecret', SecretId & { reason?: RevocationReason | undefined; force?: boolean | undefined }>
  | C<'SuspendSecret', SecretId & { reason?: string | undefined; force?: boolean | undefined }>
  | C<'ResumeSecret', SecretId & { reason?: string | undefined }>
  | C<
      'UpdateSecret',
      SecretId & {
        description?: string | undefined;
        allowedCidrs?: readonly string[] | undefined;
        /** `null` removes it. */
        notBefore?: Instant | null | undefined;
      }
    >
  | C<'ExpireSecret', SecretId & { version: number }>;

export type NoticeCommand =
  | C<'RecordNoticeSent', NoticeKey & { recipients: number }>
  | C<'RecordNoticeFailed', NoticeKey & { cause: string }>
  | C<'RetryNotice' | 'AcknowledgeNotice', NoticeKey>;

interface C<Type extends string, Data extends object> {
  readonly type: Type;
  readonly data: Readonly<Data & { applicationId: string; domainId: string }>;
}

/** The data of one command type. */
export type CommandData<Type extends ApplicationCommand['type']> = Extract<ApplicationCommand, { type: Type }>['data'];

/** The input of a decision besides the command and the state. */
export interface ApplicationContext {
  readonly now: Instant;
  readonly domain: SecurityDomainState;
  /** The configured `applications.secretsMax`. */
  readonly secretsMax: number;
  /** Verifier of the value generated for this command; required for a command that creates a value. */
  readonly verifier?: Verifier | undefined;
  /** `If-Match`: the resource revision that the caller last read. */
  readonly ifMatch?: number | undefined;
}
