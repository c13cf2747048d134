import { loadConfig } from '@rekey/platform';
import { NativeEngine, isRequired } from '@rekey/testing';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ROOT } from './deploy.testing';

const NAMES = ['kafka', 'redis', 'mongodb'] as const;
const missing = NAMES.filter((name) => !NativeEngine.isAvailable(name));
if (missing.length > 0)
  process.stderr.write(`Not run: npm run engines; this machine cannot start ${missing.join(', ')}\n`);
const describeHere = missing.length === 0 || missing.some(isRequired) ? describe : describe.skip;

/** The first start on a machine downloads and compiles. */
const START_TIMEOUT_MS = 300_000;

const isAnswered = async (address: string): Promise<boolean> => {
  const { hostname, port } = new URL(address.includes('://') ? address : `kafka://${address}`);
  const socket = connect({ host: hostname, port: Number(port) });
  const answered = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return answered;
};

describeHere('npm run engines', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'rekey-engines-'));
  const file = path.join(folder, 'engines/rekey.yml');
  let child: ChildProcess;
  let output = '';

  /** Resolves when the engines are running or the program has exited. */
  const start = async (): Promise<void> => {
    output = '';
    const args = NAMES.flatMap((name) => [`--${name}-port`, '0']);
    child = spawn(process.execPath, [path.join(ROOT, 'tools/engines.mjs'), ...args], { cwd: folder });
    await new Promise<void>((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        output += chunk.toString();
        if (output.includes('admin token')) resolve();
      };
      child.stdout?.on('data', read);
      child.stderr?.on('data', read);
      child.once('exit', (code) => reject(new Error(`It ended with ${code}: ${output}`)));
    });
  };
  const ended = async (): Promise<number | null> => {
    if (child.exitCode !== null) return child.exitCode;
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  };
  const addresses = (): string[] => {
    const { kafka, secrets } = loadConfig({ env: {}, file });
    return [...kafka.brokers, secrets.redis ?? '', secrets.mongodb ?? ''];
  };
  const answers = (): Promise<boolean[]> => Promise.all(addresses().map(isAnswered));
  const topics = (): string => {
    const args = ['tools/rekey.mjs', 'topics', 'list', '--server-config', file];
    return spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8', env: {} }).stdout;
  };

  afterAll(async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    await ended();
    rmSync(folder, { recursive: true });
  }, START_TIMEOUT_MS);

  it(
    'starts them on free ports, with topics, keys and a configuration, and ends them all',
    async () => {
      await start();
      expect(await answers()).toEqual([true, true, true]);
      const { adapters, storage } = loadConfig({ env: {}, file });
      expect(adapters).toEqual({ events: 'sqlite', views: 'mongodb', bus: 'kafka', jobs: 'bullmq' });
      expect(readFileSync(path.join(storage.path, 'admin-token'), 'utf8')).toMatch(/^rka_/);
      expect(topics()).toMatch(/^rekey\.commands +12$/m);
      expect(output).toContain('REKEY_CONFIG=engines/rekey.yml npm run serve -- all');
      for (const address of addresses()) expect(output).toContain(address);

      child.kill('SIGTERM');
      expect(await ended()).toBe(0);
      expect(await answers()).toEqual([false, false, false]);
    },
    START_TIMEOUT_MS,
  );

  it(
    'keeps what they hold, and ends with 1 where one of them ends',
    async () => {
      const token = readFileSync(path.join(folder, 'engines/data/admin-token'), 'utf8');
      await start();
      expect(readFileSync(path.join(folder, 'engines/data/admin-token'), 'utf8')).toBe(token);
      expect(topics()).toMatch(/^rekey\.commands +12$/m);
      process.kill(Number(readFileSync(path.join(folder, 'engines/redis/pid'), 'utf8')), 'SIGKILL');
      expect(await ended()).toBe(1);
      expect(output).toContain('Redis has exited. Its log: engines/redis/log');
      expect(existsSync(path.join(folder, 'engines/redis/log'))).toBe(true);
      expect(await answers()).toEqual([false, false, false]);
    },
    START_TIMEOUT_MS,
  );
});
