import { z } from 'zod';
import type { Answer } from '../client';
import { status } from '../output';
import type { Session } from '../session';

/** Fields that the CLI prints; the answer has more. */
const applicationAsOf = z.object({
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

/** Prints an application as of an instant: its secrets, and which of their versions authenticated. */
export const showAsOf = (session: Session, answer: Answer): Promise<void> =>
  session.show(answer, applicationAsOf, (application) => {
    const { formatter } = session;
    const head = formatter.record([
      ['As of', application.asOf],
      ['Application', application.id],
      ['Client id', application.clientId],
      ['Name', application.name],
      [
        'Domain',
        application.domainStatus === 'active'
          ? application.domainId
          : `${application.domainId}, ${application.domainStatus}`,
      ],
      ['Status', status(application.status)],
    ]);
    if (application.secrets.length === 0) return `${head}\n\nNo secrets.`;
    const rows = application.secrets.map((secret) => [
      secret.id,
      secret.description,
      status(secret.status),
      String(secret.version),
      secret.expiresAt ?? 'never',
      secret.authenticates.map((version) => `version ${version}`).join(', ') || '-',
    ]);
    return `${head}\n\n${formatter.table(['SECRET', 'DESCRIPTION', 'STATUS', 'VERSION', 'EXPIRES', 'AUTHENTICATED'], rows)}`;
  });
