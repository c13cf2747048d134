import type { Config, Keys, Metrics, Tracing } from '@rekey/platform';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';

/** The services that a process can run, in start order: each needs those before it. Standalone runs all of them. */
export const SERVICES = ['projector', 'command-service', 'gateway', 'expiry-watcher'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** What is known before the providers of a process are created. A class, because Nest needs an injection token. */
export class ProcessContext {
  /** Unique among running processes: names the owner of leases and the consumer of replies. */
  readonly instance: string;
  readonly config: Config;
  readonly keys: Keys;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Undefined when tracing is off. */
  readonly tracing: Tracing | undefined;
  readonly server: FastifyInstance;
  readonly version: string;
  /** The services that this process runs. */
  readonly services: ReadonlySet<ServiceName>;
  /** True when this process holds the lock of `storage.path`, so no other process writes there. */
  readonly alone: boolean;

  constructor(context: Omit<ProcessContext, never>) {
    this.instance = context.instance;
    this.config = context.config;
    this.keys = context.keys;
    this.log = context.log;
    this.metrics = context.metrics;
    this.tracing = context.tracing;
    this.server = context.server;
    this.version = context.version;
    this.services = context.services;
    this.alone = context.alone;
  }
}
