import type { Authenticator } from '@rekey/authentication';
import type { ViewName } from '@rekey/contracts';
import type { Access, ActiveView, Health, Metrics } from '@rekey/platform';
import type { Clock, CommandBus, EventStore, Outcomes } from '@rekey/ports';
import type { Projections, SecretUsage } from '@rekey/read-models';
import type { JWK } from 'jose';
import { Reads } from './reads';
import type { Route } from './route';
import { applicationRoutes } from './routes/applications';
import { checkRoutes } from './routes/check';
import { domainRoutes } from './routes/domains';
import { eventRoutes } from './routes/events';
import { historyRoutes } from './routes/history';
import { notificationRoutes } from './routes/notifications';
import { operationRoutes } from './routes/operations';
import { projectionRoutes } from './routes/projections';
import { secretRoutes } from './routes/secrets';
import { Writes } from './writes';

export interface GatewayOptions {
  readonly access: Access;
  readonly authenticator: Authenticator;
  readonly bus: CommandBus;
  readonly clock: Clock;
  readonly health: Health;
  readonly metrics: Metrics;
  readonly outcomes: Outcomes;
  readonly projections: Projections;
  readonly store: EventStore;
  readonly views: Readonly<Record<ViewName, ActiveView>>;
  readonly usage: (ids: readonly string[]) => Promise<ReadonlyMap<string, SecretUsage>>;
  /** The gateways' key pair, that values are sealed to. */
  readonly recipient: { readonly publicKey: JWK; readonly privateKey: JWK };
  /** The command-service's public key, that values which callers bring are sealed to. */
  readonly commandKey: JWK;
  readonly forwardAuthFrom: readonly string[];
  readonly expiringWithinDays: number;
  readonly commandTimeoutMs: number;
  readonly waitTimeoutMs: number;
  readonly version: string;
  /** Ends the streams of events. */
  readonly signal: AbortSignal;
}

/** All routes of the native API and of operations: the only list. */
export const gatewayRoutes = (options: GatewayOptions): Route[] => {
  const writes = new Writes(options);
  const reads = new Reads(options);
  const routes = [
    ...checkRoutes(options),
    ...domainRoutes(writes, reads, options),
    ...applicationRoutes(writes, reads, options),
    ...secretRoutes(writes, reads),
    ...notificationRoutes(writes, reads),
    ...historyRoutes(options),
    ...eventRoutes(options),
    ...projectionRoutes(options),
  ];
  return [...routes, ...operationRoutes(options, routes)];
};
