import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readEnvironment, readVersion, settingsOf, LOCAL_TOKEN_FILE, type Environment, type Flags } from './config';

const folder = mkdtempSync(path.join(tmpdir(), 'rekey-cli-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const write = (name: string, content: string, mode = 0o600): string => {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
};

const nothing: Environment = { settingsFolder: path.join(folder, 'none'), colour: false };
const settings = (flags: Flags, environment: Partial<Environment> = {}) =>
  settingsOf(flags, { ...nothing, ...environment });

describe('the server address', () => {
  const file = write('address.yml', 'url: http://file.example\ndomain: acme\n');

  it('comes from the flag, the environment, the settings file or the default, in this order', () => {
    const url = 'http://env.example';
    expect(settings({ url: 'https://flag.example/', config: file }, { url }).url).toBe('https://flag.example');
    expect(settings({ config: file }, { url }).url).toBe('http://env.example');
    expect(settings({ config: file }).url).toBe('http://file.example');
    expect(settings({}).url).toBe('http://127.0.0.1:8080');
  });

  it('keeps its path', () => {
    expect(settings({ url: 'https://host.example/rekey/' }).url).toBe('https://host.example/rekey');
  });

  it.each(['host:8080', 'ftp://host', 'http://', 'http://user:pw@host', 'http://host?a=b', '', 'file:///etc'])(
    'is not %j',
    (url) => expect(() => settings({ url })).toThrow(expect.objectContaining({ exit: 2 })),
  );

  it('has a default domain, which the environment overrides', () => {
    expect(settings({ config: file }).domain).toBe('acme');
    expect(settings({ config: file }, { domain: 'globex' }).domain).toBe('globex');
  });
});

describe('the token', () => {
  const [a, b, c] = [write('a', 'token-a\n'), write('b', 'token-b'), write('c', 'token-c')];
  const file = write('token.yml', 'tokenFile: c\n');

  it('comes from the flags, the environment or the settings file, in this order', () => {
    const environment = { token: 'token-env', tokenFile: b };
    expect(settings({ token: 'token-flag', tokenFile: a, config: file }, environment).token()).toBe('token-flag');
    expect(settings({ tokenFile: a, config: file }, environment).token()).toBe('token-a');
    expect(settings({ config: file }, environment).token()).toBe('token-env');
    expect(settings({ config: file }, { tokenFile: b }).token()).toBe('token-b');
    expect(settings({ config: file }).token()).toBe('token-c');
    expect(settings({ config: write('own.yml', 'token: token-own') }).token()).toBe('token-own');
    expect(c).toContain(folder);
  });

  it('is not read from a file that everyone can read', () => {
    const open = write('open', 'token', 0o644);
    expect(() => settings({ tokenFile: open }).token()).toThrow(`chmod 600 ${open}`);
    expect(() => settings({ config: write('open.yml', 'token: token', 0o644) })).toThrow('chmod 600');
    expect(settings({ config: write('open2.yml', 'url: http://file.example', 0o644) }).url).toBe('http://file.example');
  });

  it('is refused when empty or with spaces, without being shown', () => {
    for (const content of ['', 'two words', 'two\nlines']) {
      const attempt = () => settings({ tokenFile: write('odd', content) }).token();
      expect(attempt).toThrow(expect.objectContaining({ exit: 2 }));
      expect(attempt).not.toThrow('lines');
    }
    expect(() => settings({ tokenFile: path.join(folder, 'missing') }).token()).toThrow('ENOENT');
  });

  it('is read from data/admin-token only for a local server', () => {
    const sandbox = path.join(folder, 'place');
    write(path.join('place', LOCAL_TOKEN_FILE), 'token-local');
    const before = process.cwd();
    process.chdir(sandbox);
    try {
      for (const url of ['http://127.0.0.1:8080', 'http://localhost:1', 'http://[::1]:8080'])
        expect(settings({ url }).token()).toBe('token-local');
      for (const url of ['http://localhost.example', 'https://rekey.example', 'http://127.0.0.1.example'])
        expect(() => settings({ url }).token()).toThrow('No access token');
    } finally {
      process.chdir(before);
    }
  });
});

describe('the settings file', () => {
  it('is optional at its default path', () => {
    write(path.join('usual', 'rekey', 'cli.yml'), 'url: http://usual.example');
    expect(settings({}, { settingsFolder: path.join(folder, 'usual') }).url).toBe('http://usual.example');
  });

  it.each([
    ['an unknown key', 'uri: http://host', 'unknown key uri'],
    ['a wrong value', 'url: 3', 'invalid value of url'],
    ['no keys', '- a', 'keys and values'],
    ['no YAML', 'a: [', 'not valid YAML'],
  ])('is refused with %s', (_what, content, message) => {
    expect(() => settings({ config: write('wrong.yml', content) })).toThrow(message);
  });

  it('must exist when it is named', () => {
    expect(() => settings({ config: path.join(folder, 'missing.yml') })).toThrow('ENOENT');
  });

  it('may be empty', () => {
    expect(settings({ config: write('empty.yml', '# nothing yet\n') }).url).toBe('http://127.0.0.1:8080');
  });
});

describe('the environment', () => {
  it('ignores empty variables', () => {
    const env = { REKEY_URL: 'http://a', REKEY_TOKEN: '', REKEY_DOMAIN: 'acme', XDG_CONFIG_HOME: '/x', NO_COLOR: '1' };
    expect(readEnvironment(env)).toEqual({
      url: 'http://a',
      token: undefined,
      tokenFile: undefined,
      domain: 'acme',
      settingsFolder: '/x',
      colour: false,
    });
    expect(readEnvironment({ NO_COLOR: '' }).colour).toBe(true);
    expect(readEnvironment({ TERM: 'dumb' }).colour).toBe(false);
  });
});

describe('the version', () => {
  it('is that of package.json', () => expect(readVersion()).toMatch(/^\d+\.\d+\.\d+/));
});
