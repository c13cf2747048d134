import { temporaryFolder } from '@rekey/testing';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { StandaloneProcess } from '../support/standalone.testing';

const ROOT = path.resolve(__dirname, '../..');
const WALK_TIMEOUT_MS = 90_000;

/** The shell commands of the README, exactly as a reader pastes them. */
const walkOf = (page: string): string => {
  const chapter = page.slice(page.indexOf('## Walkthrough'), page.indexOf('## More'));
  return [...chapter.matchAll(/^```bash\n([\s\S]*?)^```$/gm)].map(([, block]) => block).join('\n');
};

const folder = temporaryFolder();
let server: StandaloneProcess;
let walked: { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** Rows of the table with a matching header. Each row begins with an id or an instant. */
const rowsBelow = (head: RegExp): string[] => {
  const lines = walked.stdout.split('\n');
  const from = lines.findIndex((line) => head.test(line)) + 1;
  const length = lines.slice(from).findIndex((line) => !/^[0-9a-f][0-9A-Za-z.:-]{23,} {2}/.test(line));
  return lines.slice(from, from + length);
};

beforeAll(async () => {
  server = await StandaloneProcess.start(folder.path);
  const bash = spawn('bash', ['-euo', 'pipefail', '-c', walkOf(readFileSync(path.join(ROOT, 'README.md'), 'utf8'))], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      HOME: folder.path,
      REKEY_URL: server.url,
      REKEY_TOKEN_FILE: path.join(folder.path, 'data', 'admin-token'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: WALK_TIMEOUT_MS,
  });
  const [stdout, stderr] = [bash.stdout, bash.stderr].map((stream) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    return () => Buffer.concat(chunks).toString();
  });
  const [code] = (await once(bash, 'close')) as [number | null];
  walked = { code, stdout: stdout!(), stderr: stderr!() };
});
afterAll(async () => {
  await server.stop();
  folder.remove();
});

describe('the walkthrough in the README', () => {
  it('runs to its end', () => {
    // The CLI bundles itself again if a source has changed since the tests began.
    const stderr = walked.stderr.replace(/^Building .*\n/, '');
    expect({ code: walked.code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^rekey: The client credentials are not valid[^\n]*\nCorrelation id: \S+\n$/),
    });
    expect(walked.stdout).toMatch(/^Domain +walk-\d+$/m);
    expect(walked.stdout).toMatch(/^Policy set\./m);
  });

  it('admits both secrets, and during the overlap both values of one', () => {
    const checks = [...walked.stdout.matchAll(/^Valid +yes\n[\s\S]*?^Version +(\d)\nExpires +\S+ \((.*)\)$/gm)];
    expect(checks.map(([, version, expires]) => [version, expires])).toEqual([
      ['1', 'in 90 days'],
      ['1', expect.stringMatching(/^in (8\d|9\d) days$/)],
      ['2', 'in 90 days'],
      ['1', 'in 48 hours'],
    ]);
  });

  it('shows that the revoked secret is rejected', () => {
    expect(walked.stdout).toMatch(/^Secret revoked\. In effect for every check received after \S+Z\.$/m);
    expect(walked.stdout).toContain('The check ended with exit code 4.');
  });

  it('shows the notice of the expiring secret', () => {
    expect(walked.stdout).toMatch(/^\S+Z +expired +Trial +billing +walk-\d+ +(ui|log) +sent/m);
  });

  it('shows the state of the secrets', () => {
    const rows = rowsBelow(/^SECRET +DESCRIPTION/).map((row) => row.split(/ {2,}/).slice(1, 4).join(' '));
    expect(rows.sort()).toEqual(['Pipeline revoked 1', 'Production active 2', 'Trial expired 1']);
  });

  it('shows and verifies the history', () => {
    const events = rowsBelow(/^AT +EVENT/).map((row) => row.split(/ {2,}/));
    const told = events.map(
      ([, type, , about = '']) => `${type} ${/(?:secret|description|name)=(\S+)/.exec(about)?.[1]}`,
    );
    // Each channel has its notice, and the history may be read before the second.
    expect([...new Set(told)]).toEqual([
      'ApplicationRegistered Billing',
      'SecretAdded Production',
      'SecretAdded Pipeline',
      'SecretRenewed Production',
      'SecretRevoked Pipeline',
      'SecretAdded Trial',
      'SecretExpired Trial',
      'ExpiryNoticeSent Trial',
    ]);
    expect(walked.stdout).toMatch(/^The history is intact: checked \d+ events in \d+ streams\.$/m);
  });

  it('prints no secret value to the terminal or the log', () => {
    expect(walked.stdout + walked.stderr + server.output).not.toMatch(/rky_[0-9A-Za-z]/);
  });
});
