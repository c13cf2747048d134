import { EventStoreDBClient } from '@eventstore/db-client';
import { RekeyError } from '@rekey/contracts';
import { connect } from './connection';

const warned = jest.spyOn(console, 'warn').mockImplementation(() => undefined);
afterEach(() => warned.mockClear());
afterAll(() => warned.mockRestore());

const refusal = (connectionString: string): RekeyError => {
  try {
    connect(connectionString);
  } catch (error) {
    if (error instanceof RekeyError) return error;
    throw error;
  }
  throw new Error('The connection string was accepted.');
};

describe('a connection string', () => {
  it.each([
    ['esdb://localhost:2113?tls=false'],
    ['esdb://localhost?tls=false&keepAliveInterval=10000&throwOnAppendFailure=true&connection_name=rekey'],
    ['esdb+discover://user:changeme@cluster.example:2113?tls=true&nodePreference=leader'],
    ['esdb://user:changeme@a.example:2113,b.example:2113,c.example:2113'],
    [' esdb://user:changeme@localhost:2113/?tls=true&defaultDeadline=5000 '],
  ])('is accepted: %s', (connectionString) => {
    expect(connect(connectionString).client).toBeInstanceOf(EventStoreDBClient);
    expect(warned).not.toHaveBeenCalled();
  });

  it('provides its decoded credentials for appends', () => {
    const { credentials } = connect('esdb://rekey%40example:p%3A%20w@localhost:2113?tls=true');
    expect(credentials).toEqual({ username: 'rekey@example', password: 'p: w' });
  });

  it('provides placeholder credentials if it has no user; they are not sent without TLS', () => {
    const { username, password } = connect('esdb://localhost:2113?tls=false').credentials;
    expect([username, password]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
  });

  it.each([
    ['', 'does not have the form'],
    ['http://localhost:2113', 'does not have the form'],
    ['esdb://user:hunter2@', 'does not have the form'],
    ['esdb://hunter2@localhost:2113?tls=false', 'does not have the form'],
    ['esdb://localhost:port?tls=false', 'is malformed'],
    ['esdb://user:hunter2@localhost:2113?tls=maybe', 'is malformed'],
    [
      'esdb://user:hunter2@localhost:2113?tls=true&tlsCAFile=/no/such/file',
      'names a certificate file that cannot be read',
    ],
    ['esdb://user:hunter2%@localhost:2113', 'not percent-encoded'],
    ['esdb://localhost:2113', 'has no user'],
    ['esdb://localhost:2113?tls=true', 'has no user'],
    // The client only prints a warning about these, quoting the whole string.
    ['esdb://user:hunter2@localhost:2113?tlsVerifyCert=false', 'tlsVerifyCert'],
    ['esdb://user:hunter2@localhost:2113?keepAlive=10', 'unknown setting: keepAlive'],
    ['esdb://user:hunter2@localhost:2113?hunter2%20hunter2=10', 'unknown setting: ?'],
    // With these the client reports wrong revisions incorrectly, or authenticates in a way that the server ignores.
    ['esdb://user:hunter2@localhost:2113?throwOnAppendFailure=false', 'throwOnAppendFailure=false'],
    ['esdb://user:hunter2@localhost:2113?userCertFile=a&userKeyFile=b', 'unknown setting: userCertFile'],
  ])('is refused with an error that does not quote it: %s', (connectionString, why) => {
    const error = refusal(connectionString);
    expect(error.code).toBe('invalid_request');
    expect(error.details).toEqual({ field: 'eventstore.connectionString' });
    expect(error.message).toContain(why);
    expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toContain('hunter2');
    expect(warned).not.toHaveBeenCalled();
  });
});
