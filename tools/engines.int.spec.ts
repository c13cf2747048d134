import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { ROOT, type Env } from './deploy.testing';

const folder = mkdtempSync(path.join(tmpdir(), 'rekey-engines-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `npm run engines`, which exits when it refuses to start. */
const engines = async (args: readonly string[], env: Env = {}): Promise<{ code: number | null; stderr: string }> => {
  const script = path.join(ROOT, 'tools/engines.mjs');
  const child = spawn(process.execPath, [script, '--folder', 'engines', ...args], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  return { code: code as number | null, stderr };
};

describe('npm run engines', () => {
  afterEach(() => expect(existsSync(path.join(folder, 'engines/kafka'))).toBe(false));

  it.each([
    [['--only', 'kafka,rabbitmq'], 'Unknown engine "rabbitmq". Use kafka, redis, mongodb.'],
    [['--redis-port', 'x'], '--redis-port must be a port'],
    [['--unknown'], '--only kafka,redis'],
    [['extra'], '--only kafka,redis'],
  ])('refuses %j with a reason', async (args, words) => {
    expect(await engines(args)).toEqual({ code: 2, stderr: expect.stringContaining(words) });
  });

  it('names missing programs and the packages to install', async () => {
    const bin = mkdtempSync(path.join(folder, 'bin-'));
    symlinkSync('/bin/sh', path.join(bin, 'sh'));
    const { code, stderr } = await engines([], { PATH: bin });
    expect(code).toBe(2);
    for (const program of ['java', 'javac', 'mvn', 'redis-server'])
      expect(stderr).toContain(`${program} is not installed.\n`);
    expect(stderr).toMatch(/apt-get install openjdk-17-jdk-headless maven redis-server$/m);
  });

  it('refuses a Java version that is too old', async () => {
    const bin = mkdtempSync(path.join(folder, 'bin-'));
    symlinkSync('/bin/sh', path.join(bin, 'sh'));
    for (const name of ['java', 'mvn']) {
      const version = name === 'java' ? 'echo \'openjdk version "11.0.2" 2019-01-15\' >&2' : 'true';
      writeFileSync(path.join(bin, name), `#!/bin/sh\n${version}\n`, { mode: 0o755 });
    }
    const { code, stderr } = await engines(['--only', 'kafka'], { PATH: bin });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('Java is version 11; version 17 or later is required.'),
    ]);
  });

  it('refuses a port that is in use', async () => {
    const bin = mkdtempSync(path.join(folder, 'bin-'));
    for (const name of ['sh', 'redis-server']) symlinkSync('/bin/sh', path.join(bin, name));
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { code, stderr } = await engines(['--only', 'redis', '--redis-port', String(port)], { PATH: bin });
    server.close();
    expect([code, stderr]).toEqual([2, expect.stringContaining(`Port ${port} is not available for Redis`)]);
  });

  it('does not overwrite a configuration it did not write', async () => {
    const other = path.join(folder, 'other');
    const file = path.join(mkdtempSync(`${other}-`), 'rekey.yml');
    writeFileSync(file, 'http: { port: 80 }\n');
    const { code, stderr } = await engines(['--folder', path.dirname(file)]);
    expect([code, readFileSync(file, 'utf8')]).toEqual([2, 'http: { port: 80 }\n']);
    expect(stderr).toContain('was not written by this program');
  });
});
