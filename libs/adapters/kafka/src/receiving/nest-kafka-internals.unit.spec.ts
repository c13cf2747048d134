import { ServerKafka } from '@nestjs/microservices';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What `KafkaServer` in command-server.ts relies on in Nest's Kafka server beyond its documented API. When a test fails
 * after an upgrade, change `KafkaServer` first, then the version below and in package.json.
 */
const VERSION = '11.2.6';

/** A consumer as kafkajs makes it, as far as Nest uses it before it runs. */
class FakeConsumer extends EventEmitter {
  readonly events = {
    CONNECT: 'connect',
    DISCONNECT: 'disconnect',
    REBALANCING: 'rebalancing',
    STOP: 'stop',
    CRASH: 'crash',
  };
  readonly disconnect = jest.fn();
}

/** Overrides `start` as `KafkaServer` does. */
class StartedServer extends ServerKafka {
  readonly fake = new FakeConsumer();
  failure: Error | undefined;
  seen: { client: unknown; groupId: string } | undefined;

  override async start(callback: () => void): Promise<void> {
    this.seen = { client: this.client, groupId: this.groupId };
    if (this.failure) throw this.failure;
    this.consumer = this.fake as never;
    this.registerConsumerEventListeners();
    callback();
  }
}

const serverWith = (brokers: () => string[] = () => ['127.0.0.1:1']): StartedServer =>
  new StartedServer({ client: { clientId: 'c', brokers }, consumer: { groupId: 'g' }, postfixId: '' });

describe("internals of Nest's Kafka server", () => {
  it('are those of the version that package.json pins', () => {
    const file = readFileSync(path.join(__dirname, '../../../../../package.json'), 'utf8');
    const { dependencies } = JSON.parse(file) as { dependencies: Record<string, string> };
    const { version } = jest.requireActual<{ version: string }>('@nestjs/microservices/package.json');
    expect([dependencies['@nestjs/microservices'], version]).toEqual([VERSION, VERSION]);
  });

  it('create the client before they call start, with the group id as configured', async () => {
    const server = serverWith();
    const listening = jest.fn();
    await server.listen(listening);
    expect(listening).toHaveBeenCalledWith();
    expect(server.seen?.groupId).toBe('g');
    expect(typeof (server.seen?.client as { consumer?: unknown }).consumer).toBe('function');
  });

  it('pass what start throws to the callback of listen', async () => {
    const server = serverWith();
    server.failure = new Error('no topic');
    const listening = jest.fn();
    await server.listen(listening);
    expect(listening).toHaveBeenCalledWith(server.failure);
  });

  it('listen to the consumer that start has set', async () => {
    const server = serverWith();
    const states: unknown[] = [];
    server.status.subscribe((state: unknown) => states.push(state));
    await server.listen(() => undefined);
    server.fake.emit('crash');
    expect(states).toContain('crashed');
  });

  it('disconnect that consumer on close, without a producer', async () => {
    const server = serverWith();
    await server.listen(() => undefined);
    await server.close();
    expect(server.fake.disconnect).toHaveBeenCalledTimes(1);
  });

  it('hand a function of brokers to kafkajs unchanged', async () => {
    const brokers = jest.fn(() => []);
    const server = serverWith(brokers);
    await server.listen(() => undefined);
    const { client } = server.seen as { client: { admin(): { connect(): Promise<void> } } };
    await expect(client.admin().connect()).rejects.toThrow('brokers array is empty');
    expect(brokers).toHaveBeenCalled();
  });

  it('have bindEvents to override, which start calls with the consumer', () => {
    expect(ServerKafka.prototype.bindEvents).toHaveLength(1);
    expect(ServerKafka.prototype.start.toString()).toContain('this.bindEvents(this.consumer)');
  });
});
