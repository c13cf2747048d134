import { z } from 'zod';
import type { Answer } from '../client';
import { status } from '../output';
import type { Session } from '../session';

/** What is shown of an application as it was; the history route answers more. */
const applicationThen = z.object({
  asOf: z.string(),
  id: z.string(),
  domainId: z.string(),
  domainStatus: z.string(),
  status: z.string(),
  clientId: z.string().optional(),
  name: z.string().optional(),
  secrets: z.array(
    z.object({
      id: z.string(),
      description: z.string(),
      version: z.number(),
      status: z.string(),
      expiresAt: z.string().optional(),
      authenticates: z.array(z.number()),
    }),
  ),
});

/** Shows an application as it was at an instant: which secrets it had, and which of their values authenticated. */
export const showThen = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, applicationThen, (then) => {
    const { paper } = session;
    const head = paper.record([
      ['As of', then.asOf],
      ['Application', then.id],
      ['Client id', then.clientId],
      ['Name', then.name],
      ['Domain', then.domainStatus === 'active' ? then.domainId : `${then.domainId}, ${then.domainStatus}`],
      ['Status', status(then.status)],
    ]);
    if (then.secrets.length === 0) return `${head}\n\nIt had no secrets.`;
    const rows = then.secrets.map((secret) => [
      secret.id,
      secret.description,
      status(secret.status),
      String(secret.version),
      secret.expiresAt ?? 'never',
      secret.authenticates.map((version) => `version ${version}`).join(', ') || 'nothing',
    ]);
    return `${head}\n\n${paper.table(['SECRET', 'DESCRIPTION', 'STATUS', 'VERSION', 'EXPIRES', 'AUTHENTICATED'], rows)}`;
  });
