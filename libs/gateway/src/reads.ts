import { RekeyError, type Caller, type SecretStatus, type ViewName } from '@rekey/contracts';
import type { applicationAnswer, domainAnswer, inventoryQuery, secretAnswer } from '@rekey/contracts';
import { DOMAIN_NOT_FOUND, present, type DomainPolicy } from '@rekey/domain';
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
  listSecrets,
  secretStatus,
  type ApplicationDocument,
  type DomainDocument,
  type Page,
  type SecretDocument,
  type SecretUsage,
} from '@rekey/read-models';
import type { z } from 'zod';

type DomainAnswer = z.infer<typeof domainAnswer>;
type ApplicationAnswer = z.infer<typeof applicationAnswer>;
type SecretAnswer = z.infer<typeof secretAnswer>;
type Paging = { readonly after?: string | undefined; readonly limit: number };
type Search = Paging & { readonly q?: string | undefined };
type ApplicationIds = { readonly domainId: string; readonly applicationId: string };

/** A resource as the API shows it, and its revision, which becomes its ETag. */
export interface Versioned<T> {
  readonly resource: T;
  readonly revision: number;
}

export interface ReadsOptions {
  readonly views: Readonly<Record<ViewName, Pick<ActiveView, 'read' | 'find' | 'count'>>>;
  /** Returns the usage of secrets, by secret document id. */
  readonly usage: (ids: readonly string[]) => Promise<ReadonlyMap<string, SecretUsage>>;
  readonly clock: Clock;
  /** The greatest notice threshold. A secret that expires sooner than this is `expiring`. */
  readonly expiringWithinDays: number;
}

/**
 * Reads domains, applications and secrets from the views, in the shape of the API. Every method throws `unavailable` if a
 * view cannot be read, and `…_not_found` if a resource or one that contains it does not exist.
 */
export class Reads {
  constructor(private readonly options: ReadsOptions) {}

  // ── Domains ────────────────────────────────────────────────────────────────────────────────────────────────────

  async domain(domainId: string): Promise<Versioned<DomainAnswer>> {
    const document = await this.domainDocument(domainId);
    return { resource: await this.domainAnswer(document), revision: document.resourceRevision };
  }

  async domains(caller: Caller, query: Search): Promise<Page<DomainAnswer>> {
    const page = await listDomains(this.options.views.domains, { visible: caller.domains, ...query });
    return { ...page, items: await Promise.all(page.items.map((document) => this.domainAnswer(document))) };
  }

  /** Returns a domain's policy. Unlike `domain`, it does not count the domain's applications. */
  async domainPolicy(domainId: string): Promise<DomainPolicy> {
    return (await this.domainDocument(domainId)).policy;
  }

  private async domainDocument(domainId: string): Promise<DomainDocument> {
    const document = await getDomain(this.options.views.domains, domainId);
    if (!document) throw new RekeyError('domain_not_found', DOMAIN_NOT_FOUND);
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

  async application(ids: ApplicationIds): Promise<Versioned<ApplicationAnswer>> {
    const document = await this.applicationDocument(ids);
    return { resource: await this.applicationAnswer(document), revision: document.resourceRevision };
  }

  async applications(domainId: string, query: Search): Promise<Page<ApplicationAnswer>> {
    await this.domainDocument(domainId);
    const page = await listApplications(this.options.views.applications, { domainId, ...query });
    return { ...page, items: await Promise.all(page.items.map((document) => this.applicationAnswer(document))) };
  }

  /** Returns the applications that `items` name, by id. Those that do not exist are missing. */
  async applicationsOf(
    items: readonly { readonly applicationId: string }[],
  ): Promise<Map<string, ApplicationDocument>> {
    const ids = [...new Set(items.map(({ applicationId }) => applicationId))];
    const documents = await this.options.views.applications.read<ApplicationDocument>(ids);
    return new Map(documents.flatMap((document) => (document ? [[document._id, document] as const] : [])));
  }

  private async applicationDocument({ domainId, applicationId }: ApplicationIds): Promise<ApplicationDocument> {
    await this.domainDocument(domainId);
    const document = await getApplication(this.options.views.applications, domainId, applicationId);
    if (!document) throw new RekeyError('application_not_found', `No application ${applicationId} in this domain.`);
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

  async secret(ids: ApplicationIds & { readonly secretId: string }): Promise<Versioned<SecretAnswer>> {
    const { applicationId, secretId } = ids;
    const application = await this.applicationDocument(ids);
    const document = await getSecret(this.options.views.secrets, applicationId, secretId);
    if (!document) throw new RekeyError('secret_not_found', `No secret ${secretId} in ${application.clientId}.`);
    const [resource] = await this.secretAnswers([document], new Map([[applicationId, application]]));
    return { resource: resource as SecretAnswer, revision: document.resourceRevision };
  }

  /** Returns a page of an application's secrets. */
  async secrets(ids: ApplicationIds, query: Paging): Promise<Page<SecretAnswer>> {
    const { applicationId } = ids;
    const application = await this.applicationDocument(ids);
    const page = await listSecrets(this.options.views.secrets, { applicationId, ...query });
    return { ...page, items: await this.secretAnswers(page.items, new Map([[applicationId, application]])) };
  }

  /** Returns a page of secrets of all applications that the caller may see. */
  async inventory(caller: Caller, query: z.infer<typeof inventoryQuery>): Promise<Page<SecretAnswer>> {
    const { clock, expiringWithinDays, usage, views } = this.options;
    const page = await listInventory(views, {
      ...query,
      visible: caller.domains,
      now: clock.now(),
      expiringWithinDays,
      usage,
    });
    return { ...page, items: await this.secretAnswers(page.items, await this.applicationsOf(page.items)) };
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
