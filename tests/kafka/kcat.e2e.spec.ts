import { ensureTopics, topicsOf } from '@rekey/adapters/kafka';
import type { CommandReply } from '@rekey/contracts';
import { applicationIdOf } from '@rekey/domain';
import { commandSigner, open } from '@rekey/platform';
import { ManualClock } from '@rekey/ports';
import { describeOn, isRequired, temporaryFolder, until as waitUntil } from '@rekey/testing';
import type { JWK } from 'jose';
import { execFile, spawnSync } from 'node:child_process';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Client } from '../support/client.testing';
import { ServiceProcesses, createTopics, environmentOf } from '../support/services.testing';

const ROOT = path.resolve(__dirname, '../..');
const GUIDE = readFileSync(path.join(ROOT, 'docs/kafka-kcat.md'), 'utf8');
const KCAT = spawnSync('kcat', ['-V']).status === 0;
const required = isRequired('kcat');
const DOMAIN = 'shop';
const APPLICATION = applicationIdOf(DOMAIN, 'billing');
const PATIENCE_MS = 60_000;

/** Returns the one shell block of the guide that contains `words`. */
const block = (words: string): string => {
  const found = [...GUIDE.matchAll(/```sh\n([\s\S]*?)```/g)]
    .map(([, text = '']) => text)
    .filter((text) => text.includes(words));
  if (found.length !== 1) throw new Error(`${found.length} blocks of the guide have: ${words}`);
  return found[0]!;
};
const KEYS = block('rekey keys');
const COMMAND = block('cat > command.json');
const SIGN = block('rekey sign');
const SEND = block('kcat -P');
const REPLY = block('-t rekey.replies.billing -o');
const DEAD = block('-t rekey.commands.dead');
/** The JSON of the guide's command, without its braces. */
const FIRST = JSON.parse(/\{[\s\S]*\}/.exec(COMMAND)?.[0] ?? '') as { id: string; data: object };

const tests = (): void =>
  describeOn(['kafka', 'mongodb', 'redis'], (urls) => {
    const folder = temporaryFolder();
    const sender = path.join(folder.path, 'sender');
    const env = environmentOf(folder.path, urls);
    const prefix = env['REKEY_KAFKA_TOPICPREFIX'] ?? '';
    const foreign = `${prefix}others`;
    let services: ServiceProcesses;
    let api: Client;

    /** Replaces the addresses and topic names of the guide with those of this test. */
    const here = (script: string): string =>
      script
        .replaceAll('127.0.0.1:9092', urls.kafka)
        .replaceAll(/\brekey\.(commands|replies)\b/g, (name) => prefix + name);

    /** Runs shell lines of the guide in the sender's folder. */
    const shell = (script: string): Promise<{ stdout: string; stderr: string }> =>
      new Promise((resolve, reject) => {
        const environment = { PATH: `${path.join(sender, 'bin')}:${process.env['PATH']}`, HOME: sender };
        const options = { cwd: sender, env: environment, timeout: PATIENCE_MS };
        execFile('bash', ['--norc', '-euo', 'pipefail', '-c', here(script)], options, (error, stdout, stderr) => {
          if (error) reject(new Error(`${script}\n${stdout}${stderr}`, { cause: error }));
          else resolve({ stdout, stderr });
        });
      });

    interface Sent {
      readonly name: string;
      readonly value: string;
      /** Shell line that changes the file after it was signed. */
      readonly tamper?: string;
      readonly key?: string;
      /** Instead of `rekey sign`. */
      readonly token?: string;
      /** Edits the guide's kcat command. */
      readonly edit?: (script: string) => string;
    }

    /** Sends a command as the guide does, with its own correlation id. */
    const send = async ({ name, value, tamper = '', key = APPLICATION, token, edit = (same) => same }: Sent) => {
      writeFileSync(path.join(sender, 'command.json'), value);
      const sign = token === undefined ? SIGN : `token=${token}`;
      const script = [sign, tamper, edit(SEND)].join('\n');
      const named = script.replaceAll(/(correlation-id |correlationId=(?:not-)?)first/g, `$1${name}`);
      return shell(named.replaceAll(APPLICATION, key));
    };
    const tokenFor = async (value: string, name: string): Promise<string> => {
      writeFileSync(path.join(sender, 'command.json'), value);
      const { stdout } = await shell(`${SIGN.replace('first', name)}\necho "$token"`);
      return stdout.trim();
    };

    /** Returns all records that the guide's kcat command prints, with their headers. */
    const recordsOf = async (script: string): Promise<{ headers: string; value: string }[]> => {
      const { stdout } = await shell(script.replace(String.raw`%h\n%s\n`, String.raw`\x01%h\x02%s`));
      return stdout
        .split('\x01')
        .slice(1)
        .map((text) => {
          const [headers = '', value = ''] = text.split('\x02');
          return { headers, value };
        });
    };
    const until = <T>(what: string, look: () => Promise<T | undefined>): Promise<T> =>
      waitUntil(what, look, { timeoutMs: PATIENCE_MS });
    /** Resolves with the replies that have a correlation id once there are `count`. */
    const repliesTo = (name: string, count = 1): Promise<CommandReply[]> =>
      until(`the reply to ${name}`, async () => {
        const all = await recordsOf(REPLY.replace('-c 1', '-e'));
        const own = all.filter(({ headers }) => headers.split(',').includes(`kafka_correlationId=${name}`));
        return own.length >= count ? own.map(({ value }) => JSON.parse(value) as CommandReply) : undefined;
      });

    /** Returns the types of all events of the application and its domain. */
    const history = async (): Promise<string[]> => {
      const streams = [`application-${APPLICATION}`, `domain-${DOMAIN}`];
      const pages = await Promise.all(
        streams.map((stream) => api.ask({ method: 'GET', target: `/history?stream=${stream}` })),
      );
      return pages.flatMap(({ body }) => (body.items as { type: string }[]).map(({ type }) => type));
    };
    /** A command that would change the application if it were executed. */
    const renaming = (): string =>
      JSON.stringify({
        id: randomUUID(),
        type: 'UpdateApplication',
        data: { domainId: DOMAIN, applicationId: APPLICATION, name: `Renamed ${randomUUID()}` },
      });
    /** Sends a command that must be rejected. Checks that it had no effect. Resolves with the code. */
    const refused = async (sent: Sent): Promise<string | undefined> => {
      const before = await history();
      await send(sent);
      const [reply] = await repliesTo(sent.name);
      expect(reply?.status).toBe('rejected');
      expect(await history()).toEqual(before);
      return reply?.error?.code;
    };

    beforeAll(async () => {
      mkdirSync(path.join(sender, 'bin'), { recursive: true });
      const shim = path.join(sender, 'bin/rekey');
      writeFileSync(shim, `#!/bin/sh\nexec '${process.execPath}' '${ROOT}/dist/apps/cli/main.js' "$@"\n`);
      chmodSync(shim, 0o755);
      const { stderr } = await shell(KEYS);
      writeFileSync(path.join(folder.path, 'rekey.yml'), stderr.slice(stderr.indexOf('access:')));
      await createTopics(env);
      const quiet = (): void => undefined;
      const connection = { brokers: [urls.kafka], log: { debug: quiet, info: quiet, warn: quiet, error: quiet } };
      for (const reply of [`${prefix}rekey.replies.billing`, foreign])
        await ensureTopics({
          connection,
          topics: { ...topicsOf(prefix), reply },
          settings: { reply: { partitions: 1 } },
          replicationFactor: 1,
        });
      services = await ServiceProcesses.start(folder.path, env);
      api = new Client(services.url, services.token);
      await until('readiness', async () =>
        (await api.ask({ method: 'GET', target: '//health/ready' })).status === 200 ? true : undefined,
      );
      for (const id of [DOMAIN, 'other']) await api.ask({ method: 'POST', target: '/domains', body: { id, name: id } });
    });
    afterAll(async () => {
      api?.close();
      await services?.stop();
      folder.remove();
    });

    it('does what the guide says, step by step', async () => {
      expect(FIRST.data).toMatchObject({ applicationId: APPLICATION });
      const { stdout } = await shell([COMMAND, SIGN, SEND, REPLY].join('\n'));
      const [headers, value] = stdout.split('\n');
      expect(headers).toMatch(/^kafka_correlationId=first,/);
      const reply = JSON.parse(value ?? '') as CommandReply;
      expect(reply).toMatchObject({ id: FIRST.id, status: 'accepted', replayed: false, revision: 0 });
      const seen = { 'rekey-at-least': reply.position };
      const { body } = await api.ask({
        method: 'GET',
        target: `/domains/${DOMAIN}/applications/${APPLICATION}`,
        headers: seen,
      });
      expect(body).toMatchObject({ clientId: 'billing', name: 'Billing' });
      const { body: page } = await api.ask({ method: 'GET', target: `/history?stream=application-${APPLICATION}` });
      expect(page.items).toMatchObject([
        { type: 'ApplicationRegistered', metadata: { actor: { type: 'service', id: 'billing' } } },
      ]);
    });

    it('executes a record once, however often it is sent', async () => {
      const value = renaming();
      const token = await tokenFor(value, 'twice');
      await send({ name: 'twice', value, token });
      await send({ name: 'twice', value, token });
      const replies = await repliesTo('twice', 2);
      expect(replies.map(({ status, replayed, revision }) => [status, replayed, revision])).toEqual([
        ['accepted', false, 1],
        ['accepted', true, 1],
      ]);
      expect((await history()).filter((type) => type === 'ApplicationRenamed')).toHaveLength(1);
    });

    it('puts a key into the same partition as other clients do', async () => {
      const { stdout } = await shell(
        `kcat -C -b 127.0.0.1:9092 -t rekey.commands -o beginning -e -q -f '%p %k\\n' | sort -u`,
      );
      const command = {
        method: 'PATCH',
        target: `/domains/${DOMAIN}/applications/${APPLICATION}`,
        body: { name: 'By the gateway' },
      };
      expect((await api.ask(command)).status).toBe(200);
      const { stdout: after } = await shell(
        `kcat -C -b 127.0.0.1:9092 -t rekey.commands -o beginning -e -q -f '%p %k\\n' | sort -u`,
      );
      expect(stdout).toMatch(new RegExp(`^\\d+ ${APPLICATION}$`, 'm'));
      expect(after).toBe(stdout);
    });

    it("seals the reply's value to the key in the record", async () => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const secret = { domainId: DOMAIN, applicationId: APPLICATION, secretId: randomUUID(), description: 'By kcat' };
      const recipientKey = publicKey.export({ format: 'jwk' });
      const value = JSON.stringify({ id: randomUUID(), type: 'AddSecret', data: secret, recipientKey });
      await send({ name: 'value', value });
      const [reply] = await repliesTo('value');
      const clientSecret = await open(reply?.result?.sealedSecret ?? '', privateKey.export({ format: 'jwk' }));
      const check = {
        method: 'POST',
        target: `/domains/${DOMAIN}/authenticate`,
        body: { clientId: 'billing', clientSecret },
      };
      expect(
        await until('the check', async () => {
          const { status, body } = await api.ask(check);
          return status === 200 ? (body as object) : undefined;
        }),
      ).toMatchObject({ valid: true, secretId: secret.secretId });
    });

    it('rejects a command without a token', async () => {
      const edit = (script: string): string => script.replace('-H "authorization=Bearer $token" ', '');
      expect(await refused({ name: 'no-token', value: renaming(), edit })).toBe('unauthenticated');
    });

    it('rejects the token of another command', async () => {
      const token = await tokenFor(renaming(), 'other-token');
      expect(await refused({ name: 'other-token', value: renaming(), token })).toBe('unauthenticated');
    });

    it.each([
      ['changed', `sed -i 's/Renamed/Mistaken/' command.json`],
      ['extended by a line end', 'echo >> command.json'],
    ])('rejects a value that was %s after signing', async (how, tamper) => {
      const name = how.replaceAll(' ', '-');
      expect(await refused({ name, value: renaming(), tamper })).toBe('unauthenticated');
    });

    it.each([
      ['key', (script: string) => script.replace(/-k \S+/, `-k ${randomUUID()}`)],
      ['correlation id', (script: string) => script.replace('correlationId=', 'correlationId=not-')],
    ])('rejects a %s that differs from the signed one', async (what, edit) => {
      const name = what.replace(' ', '-');
      const before = await history();
      await send({ name, value: renaming(), edit });
      const [reply] = await repliesTo(what === 'key' ? name : `not-${name}`);
      expect([reply?.error?.code, await history()]).toEqual(['unauthenticated', before]);
    });

    it('rejects a token that had expired when the record arrived', async () => {
      const value = renaming();
      const privateKey = JSON.parse(readFileSync(path.join(sender, 'billing-key.json'), 'utf8')) as JWK;
      const tenMinutesAgo = new ManualClock(Date.now() - 600_000);
      const sign = commandSigner({ name: 'billing', privateKey, audience: 'rekey', clock: tenMinutesAgo });
      const request = {
        command: JSON.parse(value) as never,
        caller: { type: 'service' as const, name: 'billing', roles: [], domains: [] },
        correlationId: '',
      };
      const bearer = await sign(request, {
        value: Buffer.from(value),
        key: Buffer.from(APPLICATION),
        replyTopic: Buffer.from(`${prefix}rekey.replies.billing`),
        correlationId: Buffer.from('expired'),
      });
      expect(await refused({ name: 'expired', value, token: bearer.slice('Bearer '.length) })).toBe('unauthenticated');
    });

    it("rejects commands outside the sender's role and domains", async () => {
      const update = { id: randomUUID(), type: 'UpdateDomain', data: { domainId: DOMAIN, name: 'Mine' } };
      expect(await refused({ name: 'role', value: JSON.stringify(update), key: DOMAIN })).toBe('forbidden');
      const elsewhere = applicationIdOf('other', 'billing');
      const data = { domainId: 'other', applicationId: elsewhere, clientId: 'billing', name: 'Billing' };
      const register = JSON.stringify({ id: randomUUID(), type: 'RegisterApplication', data });
      expect(await refused({ name: 'domain', value: register, key: elsewhere })).toBe('domain_not_found');
    });

    it('never replies to a foreign topic, and writes the record to the dead letters', async () => {
      const before = await history();
      const value = renaming();
      const { id } = JSON.parse(value) as { id: string };
      writeFileSync(path.join(sender, 'command.json'), value);
      const script = `${SIGN}\n${SEND}`.replaceAll('first', 'foreign');
      await shell(script.replaceAll('rekey.replies.billing', foreign));
      const letter = await until('the dead letter', async () =>
        (await recordsOf(DEAD)).find(({ value: buried }) => buried.includes(id)),
      );
      expect(letter.headers).toContain('rekey-reason=reply_topic_not_allowed');
      expect(letter.headers).not.toContain('authorization');
      expect(letter.value).toBe(value);
      expect(await recordsOf(REPLY.replace('-c 1', '-e').replace('rekey.replies.billing', foreign))).toEqual([]);
      expect(await history()).toEqual(before);
    });

    it('rejects the fragments of a command that kcat split at line ends', async () => {
      const lines = '{\n"id": "none"\n}';
      writeFileSync(path.join(sender, 'command.json'), lines);
      const before = (await recordsOf(DEAD)).length;
      await shell(`token=none\n${SEND.replace(/ command\.json\s*$/, ' < command.json')}`);
      const after = await until('the dead letters', async () => {
        const letters = await recordsOf(DEAD);
        return letters.length >= before + 3 ? letters : undefined;
      });
      expect(after.slice(before).map(({ headers }) => /rekey-reason=(\w+)/.exec(headers)?.[1])).toEqual([
        'unparsable',
        'unparsable',
        'unparsable',
      ]);
    });
  });

if (KCAT || required) {
  tests();
} else {
  process.stderr.write('kcat is not installed: the guide for it is not run\n');
  describe('the guide for kcat', () => it.skip('skipped: kcat is not installed', () => undefined));
}
