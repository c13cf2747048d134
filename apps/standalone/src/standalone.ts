import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { lockFolder } from '@rekey/adapters/embedded';
import { createHttpServer } from '@rekey/gateway';
import { ConfigError, KeyError, Metrics, createLogger, ensureKeys, loadConfig, type Config } from '@rekey/platform';
import { CommandBus } from '@rekey/ports';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import 'reflect-metadata';
import { AppModule, Setting } from './app.module';
import { fillDemo } from './demo';
import { PlainFastifyAdapter } from './fastify-adapter';
// The version has one place, and the bundle takes it in.
// eslint-disable-next-line @nx/enforce-module-boundaries
import { version } from '../../../package.json';

const USAGE = `Rekey in one process.

  npm start               start, with ./rekey.yml and REKEY_* where they are there
  npm start -- --demo     the same, filled with two domains and secrets in all states
`;

/** Starts the system, tells where it is, and stops it on SIGTERM or SIGINT. Exit code 2: it could not be started. */
export const main = async (args: readonly string[]): Promise<void> => {
  const unknown = args.find((arg) => arg !== '--demo');
  if (unknown !== undefined) {
    process.stderr.write(USAGE);
    process.exitCode = unknown === '--help' ? 0 : 2;
    return;
  }
  try {
    await start(args.includes('--demo'));
  } catch (error) {
    const known = error instanceof ConfigError || error instanceof KeyError || error instanceof StartError;
    process.stderr.write(known ? `${error.message}\n` : `Rekey could not start: ${describe(error)}\n`);
    process.exit(2);
  }
};

/** What keeps the system from starting, in words for whoever starts it. */
class StartError extends Error {}

const describe = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));

const start = async (demo: boolean): Promise<void> => {
  const config = loadConfig();
  const folder = path.resolve(config.storage.path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const unlock = lockFolder(folder);
  if (!unlock) throw new StartError(`${folder} is used by another Rekey that runs.`);
  const keys = ensureKeys(folder, config.access);
  const log = createLogger({ level: config.logging.level });
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
  app.enableShutdownHooks(['SIGTERM', 'SIGINT']);
  await app.listen(config.http.port, config.http.host);
  if (demo) await fillDemo(app.get(CommandBus), keys.sealing.publicKey, Date.now());
  announce(config, await app.getUrl(), keys.adminToken.file, folder);
};

const announce = (config: Config, listening: string, tokenFile: string, folder: string): void => {
  const url = config.http.publicUrl ?? listening;
  process.stdout.write(
    [
      '',
      `Rekey ${version} is running at ${url}`,
      `  API           ${url}/docs`,
      `  admin token   ${tokenFile}`,
      `  data          ${folder}`,
      '',
      '',
    ].join('\n'),
  );
};
