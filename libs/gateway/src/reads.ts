import { RekeyError, secretDocumentId, type Caller, type SecretStatus, type ViewName } from '@rekey/contracts';
import type {
  applicationAnswer,
  domainAnswer,
  inventoryQuery,
  notificationAnswer,
  notificationsQuery,
  secretAnswer,
} from '@rekey/contracts';
import { previewExpiry, type ApplicationPolicy, type DomainPolicy, type Instant } from '@rekey/domain';
import type { ActiveView } from '@rekey/platform';
import type { Clock } from '@rekey/ports';
import {
  countApplications,
  countSecrets,
  getApplication,
  getDomain,
  getSecret,
  listApplications,
  listDomains,
  listInventory,
  listNotifications,
  getNotification,
  listSecrets,
  listSecretsForPolicy,
  policySubjectOf,
  secretStatus,
  type ApplicationDocument,
  type DomainDocument,
  type NotificationDocument,
  type Page,
  type SecretDocument,
  type SecretUsage,
} from '@rekey/read-models';
import type { z } from 'zod';

type DomainAnswer = z.infer<typeof domainAnswer>;
type ApplicationAnswer = z.infer<typeof applicationAnswer>;
type SecretAnswer = z.infer<typeof secretAnswer>;
type NotificationAnswer = z.infer<typeof notificationAnswer>;
type Paging = { readonly after?: string | undefined; readonly limit: number };
type Search = Paging & { readonly q?: string | undefined };

/** A resource as the API shows it, and its revision, which is its ETag. */
export interface Tagged<T> {
  readonly resource: T;
  readonly revision: number;
}

export interface ReadsOptions {
  readonly views: Readonly<Record<ViewName, Pick<ActiveView, 'read' | 'find' | 'count'>>>;
  /** When and from where secrets were last used, by secret document id. */
  readonly usage: (ids: readonly string[]) => Promise<ReadonlyMap<string, SecretUsage>>;
  readonly clock: Clock;
  /** The greatest threshold of notices: nearer to its expiry than that, a secret is `expiring`. */
  readonly expiringWithinDays: number;
}

const AFFECTED_MAX = 200;
const SCAN_PAGE = 1000;

/** All reads of the API: documents of the views, as their answers show them. */
export class Reads {
  constructor(private readonly options: ReadsOptions) {}

  // ── Domains ────────────────────────────────────────────────────────────────────────────────────────────────────

  async domain(domainId: string): Promise<Tagged<DomainAnswer>> {
    const document = await this.domainDocument(domainId);
    return { resource: await this.domainAnswer(document), revision: document.resourceRevision };
  }

  async domains(caller: Caller, query: Search): Promise<Page<DomainAnswer>> {
    const page = await listDomains(this.options.views.domains, { visible: caller.domains, ...query });
    return { ...page, items: await Promise.all(page.items.map((document) => this.domainAnswer(document))) };
  }

  private async domainDocument(domainId: string): Promise<DomainDocument> {
    const document = await getDomain(this.options.views.domains, domainId);
    if (!document) throw new RekeyError('domain_not_found', 'There is no such domain.');
    return document;
  }

  private async domainAnswer(document: DomainDocument): Promise<DomainAnswer> {
    const { _id, name, contacts, state, policy, createdAt, updatedAt } = document;
    const applications = await countApplications(this.options.views.applications, _id);
    return {
      id: _id,
      name,
      contacts: [...contacts],
      enabled: state === 'active',
      policy,
      createdAt,
      updatedAt,
      applications,
    };
  }

  // ── Applications ───────────────────────────────────────────────────────────────────────────────────────────────

  async application(domainId: string, applicationId: string): Promise<Tagged<ApplicationAnswer>> {
    const document = await this.applicationDocument(domainId, applicationId);
    return { resource: await this.applicationAnswer(document), revision: document.resourceRevision };
  }

  async applications(domainId: string, query: Search): Promise<Page<ApplicationAnswer>> {
    await this.domainDocument(domainId);
    const page = await listApplications(this.options.views.applications, { domainId, ...query });
    return { ...page, items: await Promise.all(page.items.map((document) => this.applicationAnswer(document))) };
  }

  private async applicationDocument(domainId: string, applicationId: string): Promise<ApplicationDocument> {
    await this.domainDocument(domainId);
    const document = await getApplication(this.options.views.applications, domainId, applicationId);
    if (!document) throw new RekeyError('application_not_found', 'There is no such application in this domain.');
    return document;
  }

  private async applicationAnswer(document: ApplicationDocument): Promise<ApplicationAnswer> {
    const { _id, domainId, clientId, name, contacts, state, policy, createdAt, updatedAt } = document;
    const secrets = await countSecrets(this.options.views.secrets, _id);
    return {
      id: _id,
      domainId,
      clientId,
      name,
      contacts: [...contacts],
      enabled: state === 'active',
      policy: { expiry: policy },
      createdAt,
      updatedAt,
      secrets,
    };
  }

  // ── Secrets ────────────────────────────────────────────────────────────────────────────────────────────────────

  async secret(domainId: string, applicationId: string, secretId: string): Promise<Tagged<SecretAnswer>> {
    const application = await this.applicationDocument(domainId, applicationId);
    const document = await getSecret(this.options.views.secrets, applicationId, secretId);
    if (!document) throw new RekeyError('secret_not_found', 'There is no such secret in this application.');
    const [resource] = await this.secretAnswers([document], new Map([[applicationId, application]]));
    return { resource: resource as SecretAnswer, revision: document.resourceRevision };
  }

  async secrets(domainId: string, applicationId: string, query: Paging): Promise<Page<SecretAnswer>> {
    const application = await this.applicationDocument(domainId, applicationId);
    const page = await listSecrets(this.options.views.secrets, { applicationId, ...query });
    return { ...page, items: await this.secretAnswers(page.items, new Map([[applicationId, application]])) };
  }

  async inventory(caller: Caller, query: z.infer<typeof inventoryQuery>): Promise<Page<SecretAnswer>> {
    const page = await listInventory(this.options.views, {
      ...query,
      visible: caller.domains,
      now: this.options.clock.now(),
      expiringWithinDays: this.options.expiringWithinDays,
      usage: this.options.usage,
    });
    return { ...page, items: await this.secretAnswers(page.items, await this.applicationsOf(page.items)) };
  }

  private async applicationsOf(
    things: readonly { readonly applicationId: string }[],
  ): Promise<Map<string, ApplicationDocument>> {
    const ids = [...new Set(things.map(({ applicationId }) => applicationId))];
    const documents = await this.options.views.applications.read<ApplicationDocument>(ids);
    return new Map(documents.flatMap((document) => (document ? [[document._id, document] as const] : [])));
  }

  private async secretAnswers(
    secrets: readonly SecretDocument[],
    applications: ReadonlyMap<string, ApplicationDocument>,
  ): Promise<SecretAnswer[]> {
    const { clock, expiringWithinDays } = this.options;
    const now = clock.now();
    const usage = await this.options.usage(secrets.map((secret) => secret._id));
    return secrets.map((secret) => {
      const application = applications.get(secret.applicationId);
      const status = secretStatus(secret, now, expiringWithinDays);
      return secretAnswerOf(secret, application, status, usage.get(secret._id));
    });
  }

  // ── Policies ───────────────────────────────────────────────────────────────────────────────────────────────────

  affectedByDomainPolicy(domainId: string, policy: DomainPolicy, after?: string): Promise<Affected> {
    return this.affected(domainId, undefined, policy, undefined, after);
  }

  async affectedByApplicationPolicy(
    domainId: string,
    applicationId: string,
    policy: ApplicationPolicy,
    after?: string,
  ): Promise<Affected> {
    const domain = await this.domainDocument(domainId);
    return this.affected(domainId, applicationId, domain.policy, policy, after);
  }

  /** Walks the unrevoked secrets, by id, and judges each from the instant that its value was made. */
  private async affected(
    domainId: string,
    applicationId: string | undefined,
    domainPolicy: DomainPolicy,
    applicationPolicy: ApplicationPolicy | undefined,
    after: string | undefined,
  ): Promise<Affected> {
    const items: Affected['items'][number][] = [];
    let count = 0;
    let more = false;
    let last = '';
    for (let place: string | undefined; ;) {
      const secrets = await listSecretsForPolicy(this.options.views.secrets, {
        domainId,
        applicationId,
        after: place,
        limit: SCAN_PAGE,
      });
      const applications = await this.applicationsOf(secrets);
      for (const secret of secrets) {
        const policy = applicationPolicy ?? applications.get(secret.applicationId)?.policy ?? { mode: 'inherit' };
        const { affected, expiresAt, source } = previewExpiry(policySubjectOf(secret, policy), domainPolicy);
        if (!affected) continue;
        count += 1;
        if (after !== undefined && secret._id <= after) continue;
        if (items.length === AFFECTED_MAX) more = true;
        else {
          last = secret._id;
          items.push({
            applicationId: secret.applicationId,
            secretId: secret.secretId,
            description: secret.description,
            expiresAt: secret.expiresAt ?? null,
            wouldExpireAt: expiresAt ?? null,
            wouldSource: source,
          });
        }
      }
      place = secrets.at(-1)?._id;
      if (secrets.length < SCAN_PAGE) return { count, items, ...(more && { next: last }) };
    }
  }

  // ── Notifications ──────────────────────────────────────────────────────────────────────────────────────────────

  async notifications(caller: Caller, query: z.infer<typeof notificationsQuery>): Promise<Page<NotificationAnswer>> {
    const page = await listNotifications(this.options.views, { ...query, visible: caller.domains });
    return { ...page, items: await this.notificationAnswers(page.items) };
  }

  async notification(caller: Caller, id: string): Promise<NotificationAnswer> {
    const document = await getNotification(this.options.views, id);
    const visible = document && (caller.domains.length === 0 || caller.domains.includes(document.domainId));
    if (!visible) throw new RekeyError('not_found', 'There is no such notice.');
    const [answer] = await this.notificationAnswers([document]);
    return answer as NotificationAnswer;
  }

  /** Notices with the names by which people know what they are about. */
  private async notificationAnswers(notices: readonly NotificationDocument[]): Promise<NotificationAnswer[]> {
    const ids = notices.map(({ applicationId, secretId }) => secretDocumentId(applicationId, secretId));
    const [secrets, applications] = await Promise.all([
      this.options.views.secrets.read<SecretDocument>(ids),
      this.applicationsOf(notices),
    ]);
    return notices.map((notice, index) =>
      notificationAnswerOf(notice, secrets[index], applications.get(notice.applicationId)),
    );
  }
}

export interface Affected {
  readonly count: number;
  readonly items: readonly {
    readonly applicationId: string;
    readonly secretId: string;
    readonly description: string;
    readonly expiresAt: Instant | null;
    readonly wouldExpireAt: Instant | null;
    readonly wouldSource: string;
  }[];
  readonly next?: string;
}

const secretAnswerOf = (
  secret: SecretDocument,
  application: ApplicationDocument | undefined,
  status: SecretStatus,
  usage: SecretUsage | undefined,
): SecretAnswer => ({
  id: secret.secretId,
  applicationId: secret.applicationId,
  domainId: secret.domainId,
  clientId: application?.clientId ?? '',
  applicationName: application?.name ?? '',
  version: secret.version,
  description: secret.description,
  status,
  createdAt: secret.createdAt,
  createdBy: secret.createdBy,
  expirySource: secret.expirySource,
  allowedCidrs: [...secret.allowedCidrs],
  ...present({
    hint: secret.hint,
    renewedAt: secret.version > 1 ? secret.valueCreatedAt : undefined,
    renewedBy: secret.version > 1 ? secret.valueCreatedBy : undefined,
    notBefore: secret.notBefore,
    expiresAt: secret.expiresAt,
    ownExpiresIn: secret.ownExpiresIn,
    previousValidUntil: secret.previousValidUntil,
    suspendedAt: secret.suspendedAt,
    suspendedBy: secret.suspendedBy,
    revokedAt: secret.revokedAt,
    revokedBy: secret.revokedBy,
    revocationReason: secret.revocationReason,
    expiredAt: secret.expiredAt,
    lastNotice: secret.lastNotice && {
      threshold: secret.lastNotice.threshold,
      channel: secret.lastNotice.channel,
      at: secret.lastNotice.at,
      outcome: secret.lastNotice.outcome,
    },
    lastUsedAt: usage?.lastUsedAt,
    lastUsedFrom: usage?.from,
    uses: usage?.count,
  }),
});

const notificationAnswerOf = (
  document: NotificationDocument,
  secret: SecretDocument | null | undefined,
  application: ApplicationDocument | undefined,
): NotificationAnswer => {
  const { _id, domainId, applicationId, secretId, version, threshold, channel, state } = document;
  const { sentAt, failedAt, cause, recipients, acknowledgedAt, acknowledgedBy } = document;
  return {
    id: _id,
    domainId,
    applicationId,
    secretId,
    version,
    threshold,
    channel,
    state,
    ...present({
      clientId: application?.clientId,
      applicationName: application?.name,
      description: secret?.description,
      sentAt,
      failedAt,
      cause,
      recipients,
      acknowledgedAt,
      acknowledgedBy,
    }),
  };
};

/** An object without the keys whose value is undefined. */
const present = <T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, held]) => held !== undefined)) as never;
