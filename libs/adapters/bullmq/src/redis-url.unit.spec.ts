import { inspect } from 'node:util';
import { parseRedisUrl } from './redis-url';

describe('parseRedisUrl', () => {
  it.each([
    ['redis://localhost', { host: 'localhost', port: 6379, db: 0 }],
    [' redis://127.0.0.1:7000/3\n', { host: '127.0.0.1', port: 7000, db: 3 }],
    ['redis://[::1]:7000/', { host: '::1', port: 7000, db: 0 }],
    ['redis://:word@a', { host: 'a', port: 6379, db: 0, password: 'word' }],
    ['redis://us%20er:p%40ss%2F@a', { host: 'a', port: 6379, db: 0, username: 'us er', password: 'p@ss/' }],
    ['rediss://a', { host: 'a', port: 6379, db: 0, tls: {} }],
  ])('parses "%s"', (url, address) => {
    expect(parseRedisUrl(url)).toEqual(address);
  });

  it.each([
    '',
    'hidden-word',
    'http://:hidden-word@a',
    'redis://',
    'redis://user:hidden-word@',
    'redis://user:hidden-word@a:port',
    'redis://user:hidden-word@a/x',
    'redis://user:hidden-word@a/1/2',
    'redis://user:hidden-word@a?enableOfflineQueue=true',
    'redis://user:hidden-word@a#x',
    'redis://user:hidden-word%@a',
    'redis://hidden-word@a',
  ])('refuses "%s" without quoting it', (url) => {
    let thrown: unknown;
    try {
      parseRedisUrl(url);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'invalid_request', details: { field: 'redis.url' } });
    expect(inspect(thrown, { depth: 10, showHidden: true })).not.toContain('hidden-word');
  });
});
