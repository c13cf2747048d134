import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { lockFolder } from '@rekey/adapters/embedded';
import { createHttpServer, type Route } from '@rekey/gateway';
import {
  ConfigError,
  Health,
  Metrics,
  createLogger,
  ensureKeys,
  openTracing,
  type Config,
  type Keys,
} from '@rekey/platform';
import { Clock, CommandBus } from '@rekey/ports';
import type { FastifyInstance } from 'fastify';
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import path from 'node:path';
import type { DestinationStream } from 'pino';
import 'reflect-metadata';
import { PlainFastifyAdapter } from './fastify-adapter';
import { GatewayService } from './gateway';
import { SERVICES, ProcessContext, type ServiceName } from './process-context';
import { runShutdown, type ShutdownStep } from './shutdown';
import { System, SystemModule } from './system';
import { VERSION } from './version';

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 20;

/** A Rekey process that does not listen yet. */
export interface Process {
  readonly version: string;
  readonly folder: string;
  readonly keys: Keys;
  readonly server: FastifyInstance;
  /** Routes of the API; empty if the process is no gateway. */
  readonly routes: readonly Route[];
  /** Throws if the process neither sends nor handles commands. */
  bus(): CommandBus;
  readonly clock: Clock;
  /** Opens the port and returns the URL. */
  listen(): Promise<string>;
  /** Resolves to true when the process is ready, or to false after 60 seconds. */
  ready(): Promise<boolean>;
  /** Finishes work in progress and releases the folder. Throws `ShutdownError` after the last step if a step failed. */
  close(): Promise<void>;
}

export interface ProcessOptions {
  readonly config: Config;
  readonly services: readonly ServiceName[];
  /** Destination of the log. Default: standard output. */
  readonly logTo?: DestinationStream | undefined;
}

/** Returns the address on which a process listens: a gateway for the API, other services for health and metrics. */
export const addressOf = (
  { http, operations }: Config,
  services: readonly ServiceName[],
): { host: string; port: number } => {
  const { host, ports } = operations;
  if (services.includes('gateway')) return http;
  if (services.includes('command-service')) return { host, port: ports.commandService };
  return { host, port: services.includes('projector') ? ports.projector : ports.expiryWatcher };
};

/**
 * Creates a process that runs the given services with the configured adapters. All services in one process lock the
 * folder of `storage.path`; separate services share it. Throws `ConfigError`, `KeyError`, `FolderInUse`, or
 * `EngineUnavailable` if the store in the folder cannot be opened. Does not wait for unavailable engines.
 */
export const createProcess = async ({ config, services, logTo }: ProcessOptions): Promise<Process> => {
  const alone = SERVICES.every((name) => services.includes(name));
  if (!alone && config.adapters.bus === 'local')
    throw new ConfigError(['adapters.bus: must be kafka when services run as separate processes']);
  const folder = path.resolve(config.storage.path);
  const unlock = alone ? lockFolder(folder) : (): void => undefined;
  try {
    return await assemble({ config, services, logTo }, { alone, folder, unlock });
  } catch (error) {
    unlock();
    throw error;
  }
};

interface Folder {
  readonly folder: string;
  /** Whether this process holds the lock of the folder. */
  readonly alone: boolean;
  readonly unlock: () => void;
}

const assemble = async (
  { config, services, logTo }: ProcessOptions,
  { folder, alone, unlock }: Folder,
): Promise<Process> => {
  const keys = await ensureKeys(folder, config.access);
  const name = alone ? 'standalone' : services.join('+');
  const logger = createLogger({ level: config.logging.level, ...(logTo && { to: logTo }) });
  const log = alone ? logger : logger.child({ service: name });
  for (const warning of [...config.warnings, ...keys.warnings]) log.warn(warning);
  const metrics = new Metrics();
  const { bodyLimitBytes, requestTimeoutMs, trustedProxies } = config.http;
  const http = { bodyLimitBytes, requestTimeoutMs, trustedProxies, tls: config.secrets.tls };
  const server = createHttpServer({ log, metrics, http });
  const instance = alone ? name : `${name}@${hostname()}-${randomUUID().slice(0, 8)}`;
  const names = new Set(services);
  const tracing = await openTracing(config.tracing, { service: name, version: VERSION, instance, log });
  const context = new ProcessContext({
    services: names,
    config,
    keys,
    log,
    metrics,
    tracing,
    server,
    version: VERSION,
    alone,
    instance,
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    SystemModule.of(context, services),
    new PlainFastifyAdapter(server),
    { bodyParser: false, logger: false, abortOnError: false },
  );
  await app.init();
  const clock = app.get(Clock);
  const health = app.get(Health);
  return {
    version: VERSION,
    folder,
    keys,
    server,
    routes: services.includes('gateway') ? app.get(GatewayService).routes : [],
    bus: () => app.get(CommandBus),
    clock,
    listen: async () => {
      const { host, port } = addressOf(config, services);
      await app.listen(port, host);
      const url = await app.getUrl();
      // Nest assumes http, because it did not create the server.
      return config.secrets.tls ? url.replace(/^http:/, 'https:') : url;
    },
    ready: async () => {
      for (const until = clock.monotonicMs() + READY_TIMEOUT_MS; clock.monotonicMs() < until;) {
        if ((await health.check()).ready) return true;
        await clock.sleep(READY_POLL_MS);
      }
      return false;
    },
    close: async () => {
      const system = app.get(System);
      const steps: readonly ShutdownStep[] = [
        ...system.drainSteps(),
        { name: 'HTTP server', run: () => app.close() },
        ...system.stopSteps(),
        { name: 'tracing', run: () => tracing?.stop() },
        // Last: once it is released, another process may open the folder.
        { name: 'folder lock', run: unlock },
      ];
      try {
        await runShutdown(steps);
      } catch (error) {
        log.error({ err: error }, 'shutdown failed');
        throw error;
      }
    },
  };
};
