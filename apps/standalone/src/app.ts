import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { lockFolder } from '@rekey/adapters/embedded';
import { createHttpServer, type Route } from '@rekey/gateway';
import { Health, Metrics, createLogger, ensureKeys, type Config, type Keys } from '@rekey/platform';
import { Clock, CommandBus } from '@rekey/ports';
import type { FastifyInstance } from 'fastify';
import type { DestinationStream } from 'pino';
import path from 'node:path';
import 'reflect-metadata';
import { AppModule, Setting, System } from './app.module';
import { fillDemo } from './demo';
import { PlainFastifyAdapter } from './fastify-adapter';
// The version has one place, and the bundle takes it in.
// eslint-disable-next-line @nx/enforce-module-boundaries
import { version } from '../../../package.json';

const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 20;

export interface Standalone {
  readonly version: string;
  readonly folder: string;
  readonly keys: Keys;
  readonly server: FastifyInstance;
  readonly routes: readonly Route[];
  /** Opens the port; answers the URL. */
  listen(): Promise<string>;
  /** Resolves true when every part can do its work, false where that takes too long. */
  ready(): Promise<boolean>;
  /** Adds two domains and secrets in all states; changes nothing where they are there. */
  fillDemo(): Promise<void>;
  /** Finishes what is in hand and lets go of the folder. */
  close(): Promise<void>;
}

/**
 * Puts the whole system together on the folder of `storage.path`, which it locks. Throws `ConfigError`, `KeyError`, or
 * `EngineUnavailable` where the folder is in use or the store cannot be opened.
 */
export const createStandalone = async (config: Config, logTo?: DestinationStream): Promise<Standalone> => {
  const folder = path.resolve(config.storage.path);
  const unlock = lockFolder(folder);
  const keys = ensureKeys(folder, config.access);
  const log = createLogger({ level: config.logging.level, ...(logTo && { to: logTo }) });
  for (const warning of [...config.warnings, ...keys.warnings]) log.warn(warning);
  const metrics = new Metrics();
  const { bodyLimitBytes, requestTimeoutMs, trustedProxies } = config.http;
  const http = { bodyLimitBytes, requestTimeoutMs, trustedProxies, tls: config.secrets.tls };
  const server = createHttpServer({ log, metrics, http });
  const setting = new Setting(config, keys, log, metrics, server, version);
  const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(setting), new PlainFastifyAdapter(server), {
    bodyParser: false,
    logger: false,
    abortOnError: false,
  });
  await app.init();
  const clock = app.get(Clock);
  const health = app.get(Health);
  return {
    version,
    folder,
    keys,
    server,
    routes: app.get(System).routes,
    listen: async () => {
      await app.listen(config.http.port, config.http.host);
      const url = await app.getUrl();
      // Nest does not know what the server that it was given speaks.
      return config.secrets.tls ? url.replace(/^http:/, 'https:') : url;
    },
    ready: async () => {
      for (const until = clock.monotonicMs() + READY_TIMEOUT_MS; clock.monotonicMs() < until;) {
        if ((await health.check()).ready) return true;
        await clock.sleep(READY_POLL_MS);
      }
      return false;
    },
    fillDemo: () => fillDemo(app.get(CommandBus), keys.sealing.publicKey, clock.nowMs()),
    close: async () => {
      await app.close();
      unlock();
    },
  };
};
