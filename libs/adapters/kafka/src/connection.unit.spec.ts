import { logLevel } from 'kafkajs';
import { clientOptions } from './connection';
import { recordingLog } from './kafka.testing';

const log = recordingLog();

describe('clientOptions', () => {
  it('passes TLS and SASL settings to kafkajs', () => {
    const sasl = { mechanism: 'scram-sha-512' as const, username: 'rekey', password: 'not-a-real-password' };
    const ssl = { ca: 'not-a-real-certificate', servername: 'broker' };
    const options = clientOptions({ brokers: ['a:1', 'b:2'], ssl, sasl, clientId: 'gateway', log }, 'consumer');
    expect(options).toMatchObject({ ssl, sasl, clientId: 'gateway' });
    expect(clientOptions({ brokers: ['a:1'], ssl: true, log }, 'admin')).toMatchObject({
      ssl: true,
      clientId: 'rekey',
    });
  });

  it('returns no brokers once the signal is aborted', async () => {
    const ending = new AbortController();
    const { brokers } = clientOptions({ brokers: ['a:1', 'b:2'], log }, 'consumer', ending.signal);
    expect(typeof brokers === 'function' && (await brokers())).toEqual(['a:1', 'b:2']);
    ending.abort();
    expect(typeof brokers === 'function' && (await brokers())).toEqual([]);
  });

  it('omits TLS and SASL settings that are not set', () => {
    const options = clientOptions({ brokers: ['a:1'], log }, 'producer');
    expect(Object.keys(options)).not.toEqual(expect.arrayContaining(['ssl']));
    expect(Object.keys(options)).not.toEqual(expect.arrayContaining(['sasl']));
  });

  it('logs messages of kafkajs without the contents of records', () => {
    const write = clientOptions({ brokers: ['a:1'], log }, 'producer').logCreator?.(logLevel.WARN);
    const entry = {
      message: 'Failed to send',
      timestamp: '',
      logger: 'kafkajs',
      payload: 'what was sent',
      error: 'closed',
    };
    write?.({ namespace: 'Producer', level: logLevel.ERROR, label: 'ERROR', log: entry });
    expect(log.lines.at(-1)).toContain('Failed to send {"kafka":"Producer","error":"closed"}');
    expect(log.lines.join()).not.toContain('what was sent');
  });
});
