import { isSafeToKeep } from './safe-to-keep';

describe('isSafeToKeep', () => {
  const plain = 'hunter2';

  it.each([
    `{"firstSecret":{"value":"${plain}"}}`,
    `{"clientSecret" : "${plain}"}`,
    `{'client_secret':'${plain}'}`,
    `{"PASSWORD":"${plain}"}`,
    `{"\\u0076al\\u0075e":"${plain}"}`,
    `secret=${plain}`,
    `{"x":"rky_0123456789_${'A'.repeat(49)}"}`,
    Buffer.from(`{"x":"${plain}"}`, 'utf16le'),
    Buffer.from([0xff, 0x00]),
  ])('refuses bytes that may hold a plaintext value (%#)', (value) => {
    expect(isSafeToKeep(Buffer.from(value))).toBe(false);
  });

  it.each([
    '{"id":"x","type":"UpdateApplication","data":{"domainId":"shop","applicationId":"y"}}',
    '{"data":{"firstSecret":{"secretId":"x","sealedValue":"a.b.c.d.e"}}}',
    '{"type":"AddSecret","data":{"secretId":"x","description":"the values of ours"}}',
    'not json at all',
    '',
  ])('accepts text without one (%#)', (value) => {
    expect(isSafeToKeep(Buffer.from(value))).toBe(true);
  });
});
