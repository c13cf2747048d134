import { previewExpiry, type ApplicationPolicy, type DomainPolicy, type Instant } from '@rekey/domain';
import { listSecretsForPolicy, policySubjectOf, type SecretDocument } from '@rekey/read-models';
import type { Services } from './services';

/** The secrets to which a policy would give another expiry. */
export interface Affected {
  /** Total number, on all pages. */
  readonly count: number;
  readonly items: readonly AffectedSecret[];
  /** Cursor of the next page. */
  readonly next?: string;
}

interface AffectedSecret {
  readonly applicationId: string;
  readonly secretId: string;
  readonly description: string;
  readonly expiresAt: Instant | null;
  readonly wouldExpireAt: Instant | null;
  readonly wouldSource: string;
}

export interface PolicyPreview {
  readonly domainId: string;
  readonly domainPolicy: DomainPolicy;
  /** Set to preview the policy of one application. Without it, every application keeps its own. */
  readonly application?: { readonly id: string; readonly policy: ApplicationPolicy };
  /** `next` of the previous page. */
  readonly after?: string | undefined;
}

const ITEMS_MAX = 200;
const SCAN_PAGE = 1000;

/** Returns a page of the unrevoked secrets that a policy would treat differently, and how many there are in total. */
export const affectedBy = async (services: Pick<Services, 'reads' | 'views'>, preview: PolicyPreview) => {
  const items: AffectedSecret[] = [];
  let count = 0;
  let last = '';
  let isLastPage = true;
  for await (const affected of affectedSecrets(services, preview)) {
    count += 1;
    if (preview.after !== undefined && affected.cursor <= preview.after) continue;
    if (items.length === ITEMS_MAX) isLastPage = false;
    else {
      last = affected.cursor;
      items.push(affected.secret);
    }
  }
  return { count, items, ...(!isLastPage && { next: last }) } satisfies Affected;
};

/** Walks the unrevoked secrets by id. The policy counts from the instant at which the current value was made. */
async function* affectedSecrets(
  { reads, views }: Pick<Services, 'reads' | 'views'>,
  { domainId, domainPolicy, application }: PolicyPreview,
): AsyncGenerator<{ readonly cursor: string; readonly secret: AffectedSecret }> {
  const query = { domainId, applicationId: application?.id, limit: SCAN_PAGE };
  let secrets: readonly SecretDocument[] = [];
  do {
    secrets = await listSecretsForPolicy(views.secrets, { ...query, after: secrets.at(-1)?._id });
    const applications = await reads.applicationsOf(secrets);
    for (const secret of secrets) {
      const policy = application?.policy ?? applications.get(secret.applicationId)?.policy ?? { mode: 'inherit' };
      const { affected, expiresAt, source } = previewExpiry(policySubjectOf(secret, policy), domainPolicy);
      if (!affected) continue;
      const { _id: cursor, applicationId, secretId, description } = secret;
      const would = { wouldExpireAt: expiresAt ?? null, wouldSource: source };
      yield {
        cursor,
        secret: { applicationId, secretId, description, expiresAt: secret.expiresAt ?? null, ...would },
      };
    }
  } while (secrets.length === SCAN_PAGE);
}
