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
  throw new Error('Not refused.');
};

describe('a connection string', () => {
  it.each([
    ['esdb://localhost:2113?tls=false'],
    ['esdb://localhost?tls=false&keepAliveInterval=10000&throwOnAppendFailure=true&connection_name=rekey'],
    ['esdb+discover://user:changeme@cluster.example:2113?tls=true&nodePreference=leader'],
    ['esdb://user:changeme@a.example:2113,b.example:2113,c.example:2113'],
    [' esdb://user:changeme@localhost:2113/?tls=true&defaultDeadline=5000 '],
  ])('is taken: %s', (connectionString) => {
    expect(connect(connectionString).client).toBeInstanceOf(EventStoreDBClient);
    expect(warned).not.toHaveBeenCalled();
  });

  it('gives its user out for appends, decoded', () => {
    const { credentials } = connect('esdb://rekey%40example:p%3A%20w@localhost:2113?tls=true');
    expect(credentials).toEqual({ username: 'rekey@example', password: 'p: w' });
  });

  it('gives something out for appends where it names no user, which is never sent without TLS', () => {
    const { username, password } = connect('esdb://localhost:2113?tls=false').credentials;
    expect([username, password]).toEqual([expect.stringMatching(/./), expect.stringMatching(/./)]);
  });

  it.each([
    ['', 'is not of the form'],
    ['http://localhost:2113', 'is not of the form'],
    ['esdb://user:hunter2@', 'is not of the form'],
    ['esdb://hunter2@localhost:2113?tls=false', 'is not of the form'],
    ['esdb://localhost:port?tls=false', 'cannot be read'],
    ['esdb://user:hunter2@localhost:2113?tls=maybe', 'cannot be read'],
    ['esdb://user:hunter2@localhost:2113?tls=true&tlsCAFile=/no/such/file', 'names a file that cannot be'],
    ['esdb://user:hunter2%@localhost:2113', 'not percent-encoded'],
    ['esdb://localhost:2113', 'names no user'],
    ['esdb://localhost:2113?tls=true', 'names no user'],
    // The client only warns about these, on the console, with the whole string.
    ['esdb://user:hunter2@localhost:2113?tlsVerifyCert=false', 'tlsVerifyCert'],
    ['esdb://user:hunter2@localhost:2113?keepAlive=10', 'not known: keepAlive'],
    ['esdb://user:hunter2@localhost:2113?hunter2%20hunter2=10', 'not known: ?'],
    // With these the client tells a wrong revision wrongly, or signs in where the server does not look.
    ['esdb://user:hunter2@localhost:2113?throwOnAppendFailure=false', 'throwOnAppendFailure=false'],
    ['esdb://user:hunter2@localhost:2113?userCertFile=a&userKeyFile=b', 'not known: userCertFile'],
  ])('is refused without a word of what it holds: %s', (connectionString, why) => {
    const error = refusal(connectionString);
    expect(error.code).toBe('invalid_request');
    expect(error.details).toEqual({ field: 'eventstore.connectionString' });
    expect(error.message).toContain(why);
    expect(`${error.message} ${error.stack} ${String(error.cause)}`).not.toContain('hunter2');
    expect(warned).not.toHaveBeenCalled();
  });
});
