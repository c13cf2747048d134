import type { Authenticator } from '@rekey/authentication';
import type { ViewName } from '@rekey/contracts';
import type { Access, ActiveView, Health, Metrics } from '@rekey/platform';
import type { Clock, CommandBus, EventStore, Outcomes } from '@rekey/ports';
import type { Projections, SecretUsage } from '@rekey/read-models';
import type ipaddr from 'ipaddr.js';
import type { JWK } from 'jose';
import type { Reads } from './reads';
import type { Writes } from './writes';

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
  /** Returns the usage of secrets, by secret document id. */
  readonly usage: (ids: readonly string[]) => Promise<ReadonlyMap<string, SecretUsage>>;
  /** The gateways' key pair. New secret values are sealed to its public key. */
  readonly recipient: { readonly publicKey: JWK; readonly privateKey: JWK };
  /** The command-service's public key. Imported secret values are sealed to it. */
  readonly commandKey: JWK;
  /** CIDR ranges of proxies that may call forward-auth without a token: `http.forwardAuthFrom`. */
  readonly forwardAuthFrom: readonly string[];
  /** The greatest notice threshold. A secret that expires sooner than this is `expiring`. */
  readonly expiringWithinDays: number;
  readonly commandTimeoutMs: number;
  readonly waitTimeoutMs: number;
  readonly version: string;
  /** Aborted when the gateway stops; ends event streams and exports. */
  readonly signal: AbortSignal;
}

/** What the handlers of routes work with. */
export interface Services extends GatewayOptions {
  readonly reads: Reads;
  readonly writes: Writes;
  /** `forwardAuthFrom`, parsed. */
  readonly proxyNetworks: readonly ReturnType<typeof ipaddr.parseCIDR>[];
  readonly openApi: object;
  readonly docsPage: string;
}
