import { describeOn } from '@rekey/testing';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Sandbox, buildCli } from './cli.testing';

const sandbox = new Sandbox();
const configure = (kafka: object): void =>
  writeFileSync(path.join(sandbox.folder, 'server.yml'), JSON.stringify({ kafka }));
const topics = (action: string, ...args: readonly string[]) =>
  sandbox.run(['topics', action, '--server-config', 'server.yml', ...args]);

beforeAll(buildCli, 60_000);
afterAll(() => sandbox.remove());

describeOn(['kafka'], ({ kafka }) => {
  const topicPrefix = `test-${randomUUID().slice(0, 8)}.`;

  it('creates the topics of the configuration and lists them', async () => {
    configure({ brokers: [kafka], topicPrefix });
    expect((await topics('list')).stdout).toMatch(new RegExp(`^${topicPrefix}rekey.commands +missing$`, 'm'));
    const made = await topics('create', '--partitions', '3', '--replication', '1');
    expect([made.code, made.stderr]).toEqual([0, '']);
    expect((await topics('list')).stdout).toBe(made.stdout);
    const { stdout } = await topics('list', '--json');
    expect((JSON.parse(stdout) as { topics: unknown }).topics).toEqual([
      { name: `${topicPrefix}rekey.commands`, partitions: 3 },
      { name: `${topicPrefix}rekey.commands.reply`, partitions: 3 },
      { name: `${topicPrefix}rekey.commands.dead`, partitions: 1 },
      { name: `${topicPrefix}rekey.events`, partitions: 3 },
      { name: `${topicPrefix}rekey.notifications`, partitions: 3 },
    ]);
  });

  it('does not change existing topics', async () => {
    configure({ brokers: [kafka], topicPrefix });
    const { code, stdout } = await topics('create', '--partitions', '5');
    expect([code, stdout]).toEqual([0, expect.stringMatching(new RegExp(`^${topicPrefix}rekey.commands +3$`, 'm'))]);
  });

  it('exits with 1 and the reason when Kafka refuses', async () => {
    configure({ brokers: [kafka], topicPrefix: `test-${randomUUID().slice(0, 8)}.` });
    const { code, stderr } = await topics('create', '--replication', '99', '--timeout', '1s');
    expect([code, stderr]).toEqual([1, expect.stringMatching(/Kafka request to .* failed: .*[Rr]eplication/)]);
  });
});

it('exits with 3 when no broker answers', async () => {
  configure({ brokers: ['127.0.0.1:9'] });
  const { code, stderr } = await topics('list');
  expect([code, stderr]).toEqual([3, expect.stringContaining('Kafka request to 127.0.0.1:9 failed')]);
});

it('exits with 2 when no broker is configured', async () => {
  configure({});
  expect((await topics('list')).code).toBe(2);
});
