import type { Config, Keys, Metrics, Tracing } from '@rekey/platform';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';

/** The services that a process can be, in the order in which they need each other; standalone is all of them. */
export const SERVICES = ['projector', 'command-service', 'gateway', 'expiry-watcher'] as const;
export type ServiceName = (typeof SERVICES)[number];

/** All that is decided before the parts of a process are put together. */
export class Setting {
  /** Name that no other process has: of its leases and its place among the readers of replies. */
  readonly instance: string;
  readonly config: Config;
  readonly keys: Keys;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Absent: nothing is traced. */
  readonly tracing: Tracing | undefined;
  readonly server: FastifyInstance;
  readonly version: string;
  /** What this process is. */
  readonly services: ReadonlySet<ServiceName>;
  /** Whether no other process may work on the folder of `storage.path`. */
  readonly alone: boolean;

  constructor(setting: Omit<Setting, never>) {
    this.instance = setting.instance;
    this.config = setting.config;
    this.keys = setting.keys;
    this.log = setting.log;
    this.metrics = setting.metrics;
    this.tracing = setting.tracing;
    this.server = setting.server;
    this.version = setting.version;
    this.services = setting.services;
    this.alone = setting.alone;
  }
}
